"""The starter's CM3 objective against its definition, and its training sequences against the layout's."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import numpy as np
import pytest

from calumma.documents import TokenSequence
from calumma.documents.vocabulary import Vocabulary

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "plugins/starter/recipe"))

from objective import cm3, draw_spans

V = Vocabulary(text_size=300, codebook_size=50)


def _sample(rng: np.random.Generator) -> tuple[TokenSequence, int]:
    """A sequence with a retrieved document, and where its own part starts."""

    def pair() -> list[list[int]]:
        text = rng.integers(0, 300, rng.integers(1, 12)).tolist()
        return [text, [V.break_], rng.integers(300, 350, 16).tolist()]

    retrieved, own = pair(), pair()
    before = [V.eos, *itertools.chain(*retrieved), V.break_]
    ids = np.array([*before, *itertools.chain(*own), V.eos])
    part = np.full(len(ids), -1)
    part[len(before) : len(before) + len(own[0])] = 0
    part[len(before) + len(own[0]) + 1 : -1] = 1
    weight = np.ones(len(ids), np.float32)
    weight[0] = 0
    return TokenSequence(ids, np.arange(len(ids)), np.zeros(len(ids), np.int64), part, weight), len(before)


def _undo(ids: list[int]) -> list[int]:
    """Puts every answered span back, by brute force."""
    if V.infill not in ids:
        return ids
    cut = ids.index(V.infill)
    spans: dict[int, list[int]] = {}
    current: list[int] = []
    for id in ids[cut + 1 :]:
        if V.mask(0) <= id:
            current = spans.setdefault(id, [])
        elif id != V.eoss:
            current.append(id)
    return [one for id in ids[:cut] for one in spans.get(id, [id])]


@pytest.mark.parametrize("seed", range(100))
def test_moved_spans_can_be_put_back(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sequence, _ = _sample(rng)
    assert _undo(cm3(sequence, V, rng, drop=0.0).ids.tolist()) == sequence.ids.tolist()


@pytest.mark.parametrize("seed", range(100))
def test_masks_have_no_loss_and_all_else_has(seed: int) -> None:
    rng = np.random.default_rng(seed)
    masked = cm3(_sample(rng)[0], V, rng, drop=0.3)
    expected = np.where(V.is_mask(masked.ids), 0.0, 1.0)
    expected[0] = 0.0
    assert (masked.loss_weight == expected).all()
    assert (masked.positions == np.arange(len(masked))).all()


@pytest.mark.parametrize("seed", range(100))
def test_retrieved_documents_are_never_masked(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sequence, start = _sample(rng)
    assert (cm3(sequence, V, rng, drop=0.3).ids[:start] == sequence.ids[:start]).all()


@pytest.mark.parametrize("seed", range(100))
def test_no_span_crosses_a_break(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ids = cm3(_sample(rng)[0], V, rng, drop=0.3).ids.tolist()
    tail = ids[ids.index(V.infill) :] if V.infill in ids else []
    assert V.break_ not in tail
    assert V.eos not in tail


def test_a_dropped_condition_is_the_layouts_unconditional_stream() -> None:
    rng = np.random.default_rng(0)
    seen = 0
    for _ in range(200):
        sequence, start = _sample(rng)
        masked = cm3(sequence, V, rng, whole=0.0, drop=1.0)
        if V.infill not in masked.ids:
            assert masked.ids[start : start + 2].tolist() == [V.mask(0), V.break_]
            assert (masked.ids[start + 2 : start + 18] == sequence.ids[-17:-1]).all()
            seen += 1
    assert seen > 40


def test_about_a_third_of_the_samples_stay_plain_without_whole_segments() -> None:
    rng = np.random.default_rng(0)
    plain = sum(not draw_spans([(1, 16), (17, 81)], rng, whole=0.0) for _ in range(4000)) / 4000
    assert 0.34 < plain < 0.42


def test_whole_segments_are_masked_as_often_as_asked() -> None:
    rng = np.random.default_rng(0)
    segments = [(1, 16), (17, 81)]
    whole = sum(draw_spans(segments, rng, whole=0.3) in ([segments[0]], [segments[1]]) for _ in range(4000)) / 4000
    assert 0.27 < whole < 0.34
