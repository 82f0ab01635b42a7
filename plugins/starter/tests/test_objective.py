"""The CM3 objective against its definition, on many random samples."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "recipe"))

from objective import Specials, draw_spans, drop_text, move_spans, undo

SPECIAL = Specials(eos=0, brk=1, infill=2, eoss=3, masks=np.arange(10, 30))


def _segments(rng: np.random.Generator) -> list[np.ndarray]:
    return [rng.integers(100, 200, rng.integers(1, 20)) for _ in range(rng.integers(1, 4))]


def _plain(segments: list[np.ndarray]) -> list[int]:
    ids: list[int] = []
    for index, segment in enumerate(segments):
        ids += ([SPECIAL.brk] if index else []) + segment.tolist()
    return ids


@pytest.mark.parametrize("seed", range(200))
def test_moved_spans_can_be_put_back(seed: int) -> None:
    rng = np.random.default_rng(seed)
    segments = _segments(rng)
    spans = draw_spans([len(s) for s in segments], rng, whole=0.3)
    ids, weight = move_spans(segments, spans, SPECIAL)
    assert undo(ids, SPECIAL) == _plain(segments)
    assert len(ids) == len(weight)


@pytest.mark.parametrize("seed", range(200))
def test_no_span_crosses_a_break_and_masks_have_no_loss(seed: int) -> None:
    rng = np.random.default_rng(seed)
    segments = _segments(rng)
    spans = draw_spans([len(s) for s in segments], rng, whole=0.3)
    ids, weight = move_spans(segments, spans, SPECIAL)
    tail = ids.tolist()[ids.tolist().index(SPECIAL.infill) :] if spans else []
    assert SPECIAL.brk not in tail
    assert tail.count(SPECIAL.eoss) == len(spans)
    assert (weight[np.isin(ids, SPECIAL.masks)] == 0).all()
    assert (weight[~np.isin(ids, SPECIAL.masks)] == 1).all()
    assert np.isin(ids, SPECIAL.masks).sum() == 2 * len(spans)


def test_about_a_third_of_the_samples_stay_plain_without_whole_segments() -> None:
    rng = np.random.default_rng(0)
    plain = sum(not draw_spans([15, 64], rng, whole=0.0) for _ in range(4000)) / 4000
    assert 0.34 < plain < 0.42


def test_whole_segments_are_masked_as_often_as_asked() -> None:
    rng = np.random.default_rng(0)
    whole = sum(draw_spans([15, 64], rng, whole=0.3) in ([(0, 0, 15)], [(1, 0, 64)]) for _ in range(4000)) / 4000
    assert 0.27 < whole < 0.34


def test_the_unconditional_sample_is_a_mask_and_the_picture() -> None:
    ids, weight = drop_text([np.array([100, 101]), np.array([150, 151])], SPECIAL)
    assert ids.tolist() == [10, SPECIAL.brk, 150, 151]
    assert weight.tolist() == [0, 1, 1, 1]
