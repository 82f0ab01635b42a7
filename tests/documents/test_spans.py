import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from layout_samples import CODES, GRID, PRINT, Bytes, image, same, written

from calumma.documents import CM3LeonLayout, Document, Hole, Text, clip, move, segments, trim
from calumma.errors import InputError

LAYOUT = CM3LeonLayout(Bytes(), CODES, GRID, PRINT, 400)
V = LAYOUT.vocabulary
PAIR = Document((Text("a caption"), image(1)))
WHOLE = LAYOUT.encode(PAIR, [Document((Text("older"), image(2)))])
INSIDE = segments(WHOLE.ids, V)
points = st.integers(0, len(WHOLE))
candidates = st.tuples(points, points).map(sorted).map(lambda pair: (pair[0], pair[1]))


@st.composite
def disjoint(draw: st.DrawFn) -> list[tuple[int, int]]:
    """What an objective does: candidates clipped to their segments, those kept that meet none before."""
    kept: list[tuple[int, int]] = []
    for candidate in draw(st.lists(candidates, max_size=6)):
        span = clip(candidate, INSIDE)
        if span is not None and all(span[1] <= a or span[0] >= b for a, b in kept):
            kept.append(span)
    return sorted(kept)


def targets(ids: np.ndarray) -> list[list[int]]:
    """What stands between each mask after <infill> and its <eoss>."""
    at = np.flatnonzero(ids == V.infill)
    if not len(at):
        return []
    return [
        span[1:].tolist() for span in np.split(ids[at[0] + 1 :], np.flatnonzero(ids[at[0] + 1 :] == V.eoss)) if len(span) > 1
    ]


def test_segments_lie_between_structure_ids() -> None:
    assert [end - start for start, end in INSIDE] == [5, 12, 9, 12]


@given(candidates)
def test_a_clipped_span_never_crosses_a_break(candidate: tuple[int, int]) -> None:
    span = clip(candidate, INSIDE)
    if span is None:
        assert (WHOLE.ids[slice(*candidate)] >= V.content_size).all()
        return
    assert any(start <= span[0] < span[1] <= end for start, end in INSIDE)
    assert all(min(candidate[1], end) - max(candidate[0], start) <= span[1] - span[0] for start, end in INSIDE)


@given(disjoint())
def test_moved_spans_are_whole_and_return_to_their_place(spans: list[tuple[int, int]]) -> None:
    moved = move(WHOLE, spans, V)
    body = moved.ids[: np.flatnonzero(moved.ids == V.infill)[0]] if spans else moved.ids
    assert (body == V.break_).sum() == (WHOLE.ids == V.break_).sum()
    assert np.array_equal(np.sort(moved.ids[moved.ids < V.content_size]), np.sort(WHOLE.ids[WHOLE.ids < V.content_size]))
    assert (moved.loss_weight[V.is_mask(moved.ids)] == 0).all()
    assert (moved.loss_weight == 0).sum() == 2 * len(spans) + 1
    assert np.array_equal(moved.positions, np.arange(len(moved)))
    own = LAYOUT.encode(PAIR)
    inside = [(a - 19, b - 19) for a, b in spans if a >= 20]
    assert same(LAYOUT.decode(move(own, inside, V).ids), PAIR)


@given(disjoint(), st.integers(0, 30))
def test_targets_survive_trimming(spans: list[tuple[int, int]], cut: int) -> None:
    assume(spans)
    moved = move(WHOLE, spans, V)
    try:
        short = trim(moved, len(moved) - cut, V)
    except InputError:
        body = moved.ids[: np.flatnonzero(moved.ids == V.infill)[0]]
        assert (~V.is_mask(body)).sum() <= cut
        return
    assert len(short) == len(moved) - cut
    assert targets(short.ids) == targets(moved.ids)
    assert V.is_mask(short.ids).sum() == V.is_mask(moved.ids).sum()
    assert np.array_equal(short.positions, np.arange(len(short)))


def test_masks_are_numbered_by_place_and_forgotten_ones_are_not_asked_for() -> None:
    own = LAYOUT.encode(Document((Text("ab"), image())))
    moved = move(own, [(1, 3), (5, 14)], V, forgotten=[0])
    assert written(LAYOUT, moved.ids) == "<eos> <mask:0> <break> I <mask:1> I I <eos> <infill> <mask:1> " + "I " * 9 + "<eoss>"


def test_a_dropped_caption_is_the_unconditional_stream() -> None:
    document = Document((Text("ab"), image()))
    moved = move(LAYOUT.encode(document), [(1, 3)], V, forgotten=[0])
    asked = LAYOUT.streams(Document((Text("ab"), Hole("image"))), [], ["unconditional"])["unconditional"]
    assert np.array_equal(moved.ids[: len(asked)], asked.ids)
    assert V.infill not in moved.ids


@pytest.mark.parametrize("spans", [[(3, 8)], [(1, 1)], [(2, 4), (3, 5)], [(0, 2)], [(5, 900)]])
def test_spans_that_cross_structure_or_each_other_are_refused(spans: list[tuple[int, int]]) -> None:
    with pytest.raises(InputError):
        move(WHOLE, spans, V)


def test_no_spans_change_nothing() -> None:
    assert np.array_equal(move(WHOLE, [], V).ids, WHOLE.ids)
    assert trim(WHOLE, len(WHOLE), V) is WHOLE
