"""What the contract of samplers fills, and with what: holes of every shape, decoders and rules that see everything."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

import numpy as np
import torch

from calumma.contracts.samples.decoder import HashDecoder, HashDecoderOptions
from calumma.contracts.samples.image_tokenizer import BlockOptions, BlockTokenizer
from calumma.contracts.samples.text_tokenizer import ByteTokenizer
from calumma.documents import CONDITIONAL, UNCONDITIONAL, Constraint, Document, Hole, Image, IntArray, Layout, Text, tasks
from calumma.interfaces import Decoder, DecoderCapability, Noise, Options, Progress, Rule, Sampler, State

GRID = (4, 4)
CODES = 8
DECODER = HashDecoderOptions(context=256, vocabulary_size=800)


class CountingDecoder(HashDecoder):
    """Counts forward passes."""

    calls = 0

    def start(self, prompts: Sequence[IntArray], capacity: int) -> State:
        self.calls += 1
        return super().start(prompts, capacity)

    def append(self, state: State, ids: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return super().append(state, ids, valid)


class BareDecoder(HashDecoder):
    """Has no capability."""

    capabilities: ClassVar[frozenset[DecoderCapability]] = frozenset()


@functools.cache
def layout() -> Layout:
    """Over 256 text ids and 8 codes, 4 x 4 to a picture."""
    return HashDecoder(DECODER).layout(ByteTokenizer(Options()), _tokenizer())


def pictures() -> list[Document]:
    """Image holes: a whole one, two with known cells (one moved to the end), one before a text."""
    known = Image(tokens={_tokenizer().fingerprint(): np.arange(16).reshape(GRID) % CODES})
    inner, last = np.zeros(GRID, np.bool_), np.zeros(GRID, np.bool_)
    inner[0, 1] = inner[1, 3] = inner[2, 0] = True
    last[1, 1] = last[3, 3] = True
    return [
        tasks.text_to_image("a red apple", GRID),
        tasks.infill(known, inner, "a red apple, half eaten"),
        tasks.infill(known, last),
        Document((Hole("image"), Text("said after"))),
    ]


def texts() -> list[Document]:
    """Text holes of several limits: three before their picture, so moved to the end, and one in place."""
    known = Image(tokens={_tokenizer().fingerprint(): np.arange(16).reshape(GRID) % CODES})
    captions = [tasks.caption(known, limit=limit) for limit in (3, 20, 9)]
    return [*captions, Document((known, Text("What? "), Hole("text", limit=12)))]


class Gapped(Constraint):
    """One id from each of some sets that have gaps, so that none of them is what lies between its first and its last id."""

    modality = "image"
    sets = tuple(np.array(ids) for ids in ([10, 12, 14], [3, 5, 20], [0, 7, 9], [1, 263], [4, 5, 6, 8], [2]))
    capacity = len(sets)

    def allowed(self, offset: int, previous: Sequence[int]) -> IntArray | None:
        return self.sets[offset] if offset < self.capacity else None


def holes() -> Iterator[tuple[list[Document], list[Constraint]]]:
    """Documents and what constrains their holes: pictures, texts, and pictures whose ids come from sets with gaps."""
    yield pictures(), [layout().constraint(one) for one in pictures()]
    yield texts(), [layout().constraint(one) for one in texts()]
    yield pictures(), [Gapped() for _ in pictures()]


def one_cell() -> Document:
    """A picture with one cell to draw."""
    masked = np.zeros(GRID, np.bool_)
    masked[3, 3] = True
    known = Image(tokens={_tokenizer().fingerprint(): np.arange(16).reshape(GRID) % CODES})
    return tasks.infill(known, masked, "one")


def prompts(documents: Sequence[Document], names: Sequence[str]) -> dict[str, list[IntArray]]:
    """stream -> the prompt of each document."""
    told = [layout().streams(document, [], names) for document in documents]
    return {name: [one[name].ids.copy() for one in told] for name in names}


def fill(
    sampler: Sampler,
    documents: Sequence[Document],
    samples: Sequence[int],
    rules: Sequence[Rule] | None = (),
    seed: int = 0,
    decoder: Decoder | None = None,
    constraints: Sequence[Constraint] | None = None,
) -> Iterator[Progress]:
    """Fills the documents' holes; `rules` None: those of the sampler's options, `constraints` None: those of the layout."""
    constraints = [layout().constraint(document) for document in documents] if constraints is None else constraints
    rules = sampler.rules(constraints[0].modality) if rules is None else rules
    streams = prompts(documents, sorted({CONDITIONAL}.union(*(one.streams for one in rules))))
    decoder = HashDecoder(DECODER) if decoder is None else decoder
    return sampler.fill(decoder, streams, constraints, rules, Noise(seed), list(samples))


def drawn(steps: Iterator[Progress]) -> list[list[int]]:
    """The ids of each row at the end."""
    *_, last = steps
    return [ids.tolist() for ids in last.ids]


class PlainRule(Rule):
    """A rule without options. This one leaves everything as it is, and needs both streams."""

    id = "contracts/plain"
    streams = frozenset((UNCONDITIONAL,))

    def __init__(self) -> None:
        super().__init__(Options())

    def __call__(self, logits: Mapping[str, torch.Tensor], rows: IntArray, positions: IntArray) -> torch.Tensor:
        return logits[CONDITIONAL]


class Closing(PlainRule):
    """Lets texts end early: it favours what stands behind the text ids."""

    id = "contracts/closing"
    streams = frozenset()

    def __call__(self, logits: Mapping[str, torch.Tensor], rows: IntArray, positions: IntArray) -> torch.Tensor:
        scores = logits[CONDITIONAL]
        return scores + 6 * (torch.arange(scores.shape[1], device=scores.device) >= 256)


class Flat(PlainRule):
    """Makes all ids equally likely."""

    id = "contracts/flat"
    streams = frozenset()

    def __call__(self, logits: Mapping[str, torch.Tensor], rows: IntArray, positions: IntArray) -> torch.Tensor:
        return torch.zeros_like(logits[CONDITIONAL])


class Only(PlainRule):
    """Leaves the fifth column alone."""

    id = "contracts/only"
    streams = frozenset()
    column = 4

    def __call__(self, logits: Mapping[str, torch.Tensor], rows: IntArray, positions: IntArray) -> torch.Tensor:
        scores = torch.full_like(logits[CONDITIONAL], -torch.inf)
        scores[:, min(self.column, scores.shape[1] - 1)] = 0.0
        return scores


class Nothing(PlainRule):
    """Leaves nothing to draw: every score is the one that it is given."""

    id = "contracts/nothing"
    streams = frozenset()

    def __init__(self, score: float) -> None:
        super().__init__()
        self.score = score

    def __call__(self, logits: Mapping[str, torch.Tensor], rows: IntArray, positions: IntArray) -> torch.Tensor:
        return torch.full_like(logits[CONDITIONAL], self.score)


class Spy(PlainRule):
    """Remembers what it is shown, in both streams."""

    id = "contracts/spy"

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[tuple[int, int], list[dict[str, torch.Tensor]]] = {}

    def __call__(self, logits: Mapping[str, torch.Tensor], rows: IntArray, positions: IntArray) -> torch.Tensor:
        for place, (row, position) in enumerate(zip(rows.tolist(), positions.tolist(), strict=True)):
            shown = {name: one[place].clone() for name, one in logits.items()}
            self.seen.setdefault((row, position), []).append(shown)
        return logits[CONDITIONAL]

    def saw(self, sample: int, position: int, wanted: Mapping[str, torch.Tensor]) -> bool:
        """Whether it was ever shown these logits [1, V] for this sample and position."""
        return any(
            all(name in shown and _equal(shown[name][None], one) for name, one in wanted.items())
            for shown in self.seen.get((sample, position), ())
        )


def _equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.shape == other.shape and torch.allclose(one, other, atol=1e-5)


def _tokenizer() -> BlockTokenizer:
    return BlockTokenizer(BlockOptions.model_validate({"levels": 2}))
