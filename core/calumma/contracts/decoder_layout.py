"""What every rule of decoders is written with, and the rules of what is known before weights load: context, layout."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Sequence
from typing import TypeVar, get_args

import numpy as np
import torch

from calumma.contracts.contract import Contract, rule
from calumma.contracts.samples.image_tokenizer import BlockOptions, BlockTokenizer
from calumma.contracts.samples.text_tokenizer import ByteTokenizer
from calumma.documents import Document, Image, IntArray, Layout, Task, Text, tasks
from calumma.errors import ComponentError, MismatchError
from calumma.interfaces import Component, Decoder, DecoderCapability, ImageTokenizer, Options, State, TextTokenizer

ROOM = 32  # ids that a row needs in the rules
ROUNDING = 2e-5  # of the largest logit: how far float32 may be from float32 in another order
C = TypeVar("C", bound=Component)


class LayoutRules(Contract[Decoder]):
    """The part of the decoder's contract that needs no weights."""

    kind = "decoder"

    def text_tokenizer(self) -> TextTokenizer:
        """What the small instance reads texts with: 256 ids, one a byte. Override it where it takes another."""
        return ByteTokenizer(Options())

    def image_tokenizer(self) -> ImageTokenizer:
        """What it reads pictures with. Override it where it takes another."""
        return BlockTokenizer(BlockOptions.model_validate({}))

    # --- what is known before anything runs ---

    @rule
    def test_layout_and_context_are_known_before_weights_load(self) -> None:
        """`context` and the layout are known before warm_up, and stay what they are."""
        decoder = self.make(warm=False)
        context, size = decoder.context, self.layout(decoder).vocabulary_size
        assert context >= ROOM, f"the small instance holds {context} ids a row; these rules need {ROOM}."
        decoder.warm_up()
        after = decoder.context, self.layout(decoder).vocabulary_size
        assert after == (context, size), f"(context, vocabulary_size) was {(context, size)} and became {after}."

    @rule
    def test_capabilities_are_those_of_the_spec(self) -> None:
        """`capabilities` are among fork, rewind and train, and the spec tells the same of them."""
        decoder, spec, known = self.make(warm=False), self.spec(), set(get_args(DecoderCapability))
        assert decoder.capabilities <= known, f"they are {sorted(decoder.capabilities)}."
        for name in known & set(spec.capabilities if spec else ()):
            told = bool(spec and spec.capabilities[name])
            assert told == (name in decoder.capabilities), f"the spec says {name}: {told}, the class does not."

    @rule
    def test_a_layout_that_does_not_fit_is_refused(self) -> None:
        """Tokenizers with more ids than the decoder has logits for are refused with MismatchError."""
        decoder, text, image = self.make(), self.text_tokenizer(), self.image_tokenizer()
        width = decoder.start(self.prompts(decoder, 3), ROOM).logits.shape[1]
        for more in (1, 1 << 20):
            for pair in (
                (_with(text, size=text.size + more), image),
                (text, _with(image, codebook_size=image.codebook_size + more)),
            ):
                try:
                    needed = decoder.layout(*pair).vocabulary_size
                except MismatchError:
                    continue
                assert needed <= width, f"it gave a layout of {needed} ids, and has {width} logits."

    @rule
    def test_documents_come_back_from_their_ids(self) -> None:
        """The layout decodes what it encoded: a text and a picture come back, in ids below `vocabulary_size`."""
        layout, picture = self.layout(self.make(warm=False)), self.picture()
        if not layout.supports("generate"):
            return
        sequence = layout.encode(Document((Text("a red apple"), picture)))
        assert int(sequence.ids.max()) < layout.vocabulary_size, f"it wrote the id {sequence.ids.max()}."
        text, image = layout.decode(sequence.ids).parts
        assert isinstance(text, Text), f"the first part came back as {text!r}."
        assert isinstance(image, Image), f"the second part came back as {image!r}."
        assert text.text == "a red apple", f"the text came back as {text.text!r}."
        assert np.array_equal(_codes(image), _codes(picture)), "the picture came back with other codes."

    @rule
    def test_holes_are_filled_within_the_context(self) -> None:
        """A hole of every task that the layout supports can be filled as its constraint says, and fits the context."""
        decoder, picture = self.make(warm=False), self.picture()
        layout, grid = self.layout(decoder), self.grid()
        documents: dict[Task, Document] = {
            "generate": tasks.text_to_image("a", grid),
            "caption": tasks.caption(picture, limit=4),
            "infill": tasks.infill(picture, np.eye(*grid, dtype=np.bool_), "a"),
            "edit": tasks.edit(picture, "b", grid),
            "answer": tasks.answer(picture, "c", limit=4),
        }
        for name, document in documents.items():
            if not layout.supports(name):
                continue
            drawn: list[int] = []
            constraint, prompt = layout.constraint(document), layout.streams(document, [], ["conditional"])["conditional"]
            while (allowed := constraint.allowed(len(drawn), drawn)) is not None:
                drawn.append(int(allowed[-1]))
                assert len(drawn) <= constraint.capacity, f"{name}: the hole takes more than its {constraint.capacity} ids."
            assert len(prompt) + constraint.capacity <= decoder.context, f"{name}: prompt and hole exceed the context."
            layout.encode(layout.fill(document, drawn))

    # --- what the rules are written with ---

    def layout(self, decoder: Decoder) -> Layout:
        """Its layout over the tokenizers of the small instance."""
        return decoder.layout(self.text_tokenizer(), self.image_tokenizer())

    def prompts(self, decoder: Decoder, *lengths: int, seed: int = 0) -> list[IntArray]:
        """Prompts of these lengths; their ids are any of the layout's."""
        draw, size = np.random.default_rng(seed), self.layout(decoder).vocabulary_size
        return [draw.integers(0, size, length) for length in lengths]

    def picture(self) -> Image:
        """A picture that the image tokenizer has encoded already."""
        tokenizer = self.image_tokenizer()
        codes = np.random.default_rng(0).integers(0, tokenizer.codebook_size, self.grid())
        return Image(tokens={tokenizer.fingerprint(): codes})

    def grid(self) -> tuple[int, int]:
        """(h, w) of a picture's codes."""
        tokenizer = self.image_tokenizer()
        return tokenizer.grid(*tokenizer.resolution)

    def alone(self, decoder: Decoder, ids: IntArray) -> torch.Tensor:
        """Logits [V] of a row that is prefilled by itself."""
        return decoder.start([ids], min(decoder.context, max(ROOM, len(ids)))).logits[0].clone()

    def each(self, decoder: Decoder, ids: IntArray) -> torch.Tensor:
        """Logits [L, V] after each id of a row, each from a start of its own."""
        return torch.stack([self.alone(decoder, ids[: n + 1]) for n in range(len(ids))])

    def grow(
        self,
        decoder: Decoder,
        state: State,
        rows: Sequence[IntArray],
        ids: Sequence[Sequence[int] | IntArray],
        valid: list[int],
    ) -> list[IntArray]:
        """Appends the first valid[i] of ids[i], and returns what the rows hold then."""
        decoder.append(state, torch.from_numpy(np.array(ids, np.int64)), torch.tensor(valid))
        return [np.append(row, np.array(new[:count], np.int64)) for row, new, count in zip(rows, ids, valid, strict=True)]

    def rows_are(self, decoder: Decoder, state: State, rows: Sequence[IntArray]) -> None:
        """Fails unless the state's rows hold these ids, as far as their lengths and logits tell."""
        lengths = [len(row) for row in rows]
        assert state.lengths.tolist() == lengths, f"lengths are {state.lengths.tolist()}, not {lengths}."
        for row, ids in enumerate(rows):
            self.same(state.logits[row], self.alone(decoder, ids), f"the logits of row {row}")

    def same(self, got: torch.Tensor, wanted: torch.Tensor, what: str) -> None:
        """Fails unless two tensors are equal up to the rounding of float32."""
        assert got.shape == wanted.shape, f"{what} are {list(got.shape)}, not {list(wanted.shape)}."
        gap, bound = float((got.double() - wanted.double()).abs().max()), ROUNDING * float(wanted.abs().max())
        assert gap <= bound, f"{what} are {gap:.3g} off, and rounding explains {bound:.3g}."

    def lacks(self, decoder: Decoder, capability: DecoderCapability, use: Callable[[], object]) -> bool:
        """Whether it does not declare the capability; then `use` must raise ComponentError."""
        if capability in decoder.capabilities:
            return False
        self.refused(use, f"{capability}, which it does not declare,", ComponentError)
        return True


def _with(tokenizer: C, **sizes: int) -> C:
    """A tokenizer that says these sizes, and is itself in everything else."""
    other = copy.copy(tokenizer)
    told = {name: property(functools.partial(_constant, size)) for name, size in sizes.items()}
    other.__class__ = type(type(tokenizer).__name__, (type(tokenizer),), told)
    return other


def _constant(value: int, owner: object) -> int:
    return value


def _codes(image: Image) -> IntArray:
    """The ids of a picture that one tokenizer encoded."""
    (codes,) = image.tokens.values()
    return codes
