from __future__ import annotations

import ast
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from calumma.contracts.samples.decoder import HashDecoder, HashDecoderOptions
from calumma.documents import CM3LeonLayout, Document, Hole, Image, IntArray, Text, tasks
from calumma.errors import ComponentError
from calumma.interfaces import Decoder, Noise, Options, Part, Progress, Rule, State
from calumma_plugins.cm3leon.decoder import CM3LeonDecoder
from calumma_plugins.cm3leon.options import CM3LeonDecoderOptions
from calumma_plugins.sampling import nucleus
from calumma_plugins.sampling.drawing import draw
from calumma_plugins.sampling.guidance import EditGuidance
from calumma_plugins.sampling.nucleus import NucleusSampler
from calumma_plugins.sampling.options import EditGuidanceOptions, NucleusOptions

GRID = (3, 4)
PRINT = "image#1"


class Bytes:
    size = 256

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def decode(self, ids: Sequence[int]) -> str:
        return bytes(ids).decode(errors="replace")


LAYOUT = CM3LeonLayout(Bytes(), 10, GRID, PRINT, 200)
PICTURE = Image(tokens={PRINT: np.arange(12).reshape(GRID) % 10})
V = LAYOUT.vocabulary


class Counting(HashDecoder):
    """Counts the rows it prefills and the ids it is fed, and keeps what came last."""

    def __init__(self) -> None:
        super().__init__(HashDecoderOptions(context=LAYOUT.context, vocabulary_size=V.size))
        self.prefilled, self.fed, self.last = 0, 0, np.zeros((0, 0), np.int64)

    def start(self, prompts: Sequence[IntArray], capacity: int) -> State:
        self.prefilled += len(prompts)
        return super().start(prompts, capacity)

    def append(self, state: State, ids: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        self.fed += int(valid.sum())
        self.last = ids.numpy()
        return super().append(state, ids, valid)


def fill(
    decoder: Decoder, documents: Sequence[Document], samples: Sequence[int], seed: int = 0, **options
) -> tuple[list[list[int]], list[Progress]]:
    sampler = NucleusSampler(NucleusOptions(**options))
    constraints = [LAYOUT.constraint(document) for document in documents]
    rules = sampler.rules(constraints[0].modality)
    names = {"conditional"}.union(*(rule.streams for rule in rules))
    asked = [LAYOUT.streams(document, [], names) for document in documents]
    streams = {name: [one[name].ids for one in asked] for name in names}
    steps = list(sampler.fill(decoder, streams, constraints, rules, Noise(seed), samples))
    return [ids.tolist() for ids in steps[-1].ids], steps


@pytest.fixture(scope="module")
def random_decoder() -> CM3LeonDecoder:
    options = CM3LeonDecoderOptions(layers=2, width=32, heads=4, context=200, text_size=256, codebook_size=10)
    decoder = CM3LeonDecoder(options)
    with torch.no_grad():
        for weight in decoder.model.parameters():
            weight.normal_(std=0.3, generator=torch.Generator().manual_seed(weight.numel()))
    return decoder


APPLE = tasks.text_to_image("an apple", GRID)


def test_one_of_one_is_the_first_of_eight(random_decoder: CM3LeonDecoder) -> None:
    eight, _ = fill(random_decoder, [APPLE] * 8, range(8))
    assert fill(random_decoder, [APPLE], [0])[0] == eight[:1]
    assert fill(random_decoder, [APPLE] * 2, [5, 2])[0] == [eight[5], eight[2]]
    assert len({tuple(ids) for ids in eight}) > 3


def test_rows_of_other_prompts_and_lengths_do_not_matter(random_decoder: CM3LeonDecoder) -> None:
    captions = [tasks.caption(PICTURE, limit=n) for n in (3, 20, 9)]
    together, steps = fill(random_decoder, captions, [0, 1, 2], text_temperature=1.5)
    for i, document in enumerate(captions):
        assert fill(random_decoder, [document], [i], text_temperature=1.5)[0] == [together[i]]
    assert len({len(ids) for ids in together}) > 1  # some finished earlier
    assert steps[0].finished != steps[-1].finished
    assert all(steps[-1].finished)
    assert steps[-1].done == steps[-1].total


def test_cached_ids_are_those_of_whole_forwards(random_decoder: CM3LeonDecoder) -> None:
    ids, _ = fill(random_decoder, [APPLE], [0], temperature=0, guidance=3)
    cond, unc = (LAYOUT.streams(APPLE, [], [name])[name].ids for name in ("conditional", "unconditional"))
    model, drawn = random_decoder.model, []
    with torch.no_grad():
        for _ in range(12):
            a, b = (model(torch.tensor([[*prompt.tolist(), *drawn]]))[0, -1, V.image_ids.tolist()] for prompt in (cond, unc))
            drawn.append(256 + int((b + 3 * (a - b)).argmax()))
    assert ids == [drawn]


def test_guidance_of_one_makes_half_the_work() -> None:
    guided, plain = Counting(), Counting()
    fill(guided, [APPLE] * 2, [0, 1], guidance=3)
    fill(plain, [APPLE] * 2, [0, 1], guidance=1)
    assert (guided.prefilled, plain.prefilled) == (2, 1)  # equal prompts are prefilled once
    assert guided.fed == 2 * plain.fed == 2 * 2 * 11  # nothing is fed after the last id


def test_known_cells_are_fed_together_and_come_back() -> None:
    masked = np.zeros(GRID, bool)
    masked[0, 0] = masked[1, 3] = True
    decoder = Counting()
    ids, steps = fill(decoder, [tasks.infill(PICTURE, masked, "x")], [0], guidance=1)
    known = V.image(PICTURE.tokens[PRINT])
    assert ids[0][1:7] == known[1:7].tolist()
    assert ids[0][8] == V.eoss
    assert len(steps) == 2
    assert decoder.last.tolist() == [ids[0][:7]]


prompts = st.text(st.characters(codec="ascii"), max_size=5)
masks = st.lists(st.booleans(), min_size=12, max_size=12).filter(any).map(lambda bits: np.array(bits).reshape(GRID))
holes = st.one_of(
    prompts.map(lambda text: tasks.text_to_image(text, GRID)),
    st.tuples(masks, prompts).map(lambda pair: tasks.infill(PICTURE, *pair)),
    prompts.map(lambda text: Document((Hole("image"), Text(text)))),
)
captions = st.integers(1, 8).map(lambda limit: tasks.caption(PICTURE, limit=limit))


@settings(max_examples=40, deadline=None)
@given(
    st.one_of(st.lists(holes, min_size=1, max_size=3), st.lists(captions, min_size=1, max_size=3)),
    st.integers(0, 2**40),
    st.sampled_from([0.0, 1.0, 4.0]),
    st.sampled_from([None, 1, 3]),
)
def test_a_constraint_is_never_violated(documents: list[Document], seed: int, guidance: float, k: int | None) -> None:
    drawn, steps = fill(
        Counting(), documents, range(len(documents)), seed,
        guidance=guidance, text_guidance=guidance, top_k=k, text_top_k=k, text_temperature=2.0,
    )  # fmt: skip
    for document, ids in zip(documents, drawn, strict=True):
        constraint = LAYOUT.constraint(document)
        for offset, id in enumerate(ids):
            allowed = constraint.allowed(offset, ids[:offset])
            assert allowed is not None
            assert id in allowed
        assert constraint.allowed(len(ids), ids) is None
        LAYOUT.fill(document, ids)
    assert all(steps[-1].finished)


def test_captions_do_not_inherit_an_images_options() -> None:
    sampler = NucleusSampler(NucleusOptions(guidance=7, temperature=2, top_k=3, top_p=1, text_top_p=1))
    assert [rule.id for rule in sampler.rules("image")] == ["sampling/guidance", "sampling/temperature", "sampling/top-k"]
    assert [rule.id for rule in sampler.rules("text")] == ["sampling/temperature"]


def test_each_option_reaches_its_rule() -> None:
    images = {"guidance": 7, "temperature": 2, "top_k": 3, "top_p": 0.5}
    texts = {"text_guidance": 2, "text_temperature": 0.5, "text_top_k": 4, "text_top_p": 0.75}
    sampler = NucleusSampler(NucleusOptions(**images, **texts))
    for modality, values in (("image", images), ("text", texts)):
        told = [next(iter(rule.options.model_dump().values())) for rule in sampler.rules(modality)]
        assert told == list(values.values())


def test_a_part_that_is_no_rule_is_refused() -> None:
    sampler = NucleusSampler(NucleusOptions(rules=[Part("sampling/nucleus", NucleusSampler(NucleusOptions()))]))
    with pytest.raises(ComponentError, match="is no rule"):
        sampler.rules("image")


class Highest(Noise):
    """The largest number that a careless generator could give."""

    def uniform(self, sample, position, size, purpose=0):
        return np.ones(size)


def test_rounding_draws_no_id_without_mass() -> None:
    out = -torch.inf
    scores = torch.tensor([[0.0, 0.0, out, out], [0.0, out, 0.0, 0.0], [out, 0.0, out, out]])
    assert draw(scores, Highest(0), [0, 1, 2], [0, 0, 0]).tolist() == [1, 3, 1]


class Only(Rule):
    """Leaves one column, and remembers what it was shown."""

    id = "test/only"

    def __init__(self) -> None:
        super().__init__(Options())
        self.seen: list[tuple[list[int], list[int], tuple[int, ...]]] = []

    def __call__(self, logits, rows, positions) -> torch.Tensor:
        scores = logits["conditional"]
        self.seen.append((rows.tolist(), positions.tolist(), tuple(scores.shape)))
        return torch.full_like(scores, -torch.inf).index_fill(1, torch.tensor([4]), 0.0)


def test_extra_rules_stand_before_truncation_and_see_allowed_ids_alone() -> None:
    rule = Only()
    sampler = NucleusSampler(NucleusOptions(rules=[Part("test/only", rule)], top_k=2))
    assert [one.id for one in sampler.rules("image")] == ["sampling/guidance", "test/only", "sampling/top-k", "sampling/top-p"]
    ids, _ = fill(Counting(), [APPLE] * 2, [7, 9], rules=[Part("test/only", rule)])
    assert ids == [[256 + 4] * 12] * 2
    assert rule.seen[3] == ([7, 9], [3, 3], (2, 10))


def test_an_edit_is_guided_by_its_picture_and_its_instruction() -> None:
    rule = EditGuidance(EditGuidanceOptions(image_weight=1.5, text_weight=4))
    document = tasks.edit(PICTURE, "make it blue", GRID)
    ids, _ = fill(Counting(), [document], [0], rules=[Part(rule.id, rule)], guidance=1, temperature=0, top_p=1)
    names = ("unconditional", "image-only", "conditional")
    prompts, wanted = LAYOUT.streams(document, [], names), list[int]()
    for _ in range(12):
        rows = [np.array([*prompts[name].ids, *wanted]) for name in names]
        unc, img, full = Counting().start(rows, 200).logits[:, V.image_ids.tolist()]
        wanted.append(256 + int((unc + 1.5 * (img - unc) + 4 * (full - img)).argmax()))
    assert ids == [wanted]


def test_a_stream_that_is_missing_is_named() -> None:
    sampler = NucleusSampler(NucleusOptions())
    prompt = LAYOUT.streams(APPLE, [], ["conditional"])["conditional"].ids
    rules, constraint = sampler.rules("image"), LAYOUT.constraint(APPLE)
    with pytest.raises(ComponentError, match="sampling/guidance needs the stream 'unconditional'"):
        next(sampler.fill(Counting(), {"conditional": [prompt]}, [constraint], rules, Noise(0), [0]))


@pytest.mark.parametrize("plugin", ["sampling", "cm3leon"])
def test_the_plugin_uses_the_public_door_alone(plugin: str) -> None:
    doors = {"calumma.documents", "calumma.errors", "calumma.extension", "calumma.extension.checkpoints", "calumma.interfaces"}
    folder = Path(nucleus.__file__).parents[1] / plugin
    for file in folder.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert not name.startswith("calumma.") or name in doors, f"{file.name}: {name}"
                assert not name.startswith("calumma_plugins.") or name.startswith(f"calumma_plugins.{plugin}"), (
                    f"{file.name}: {name}"
                )
