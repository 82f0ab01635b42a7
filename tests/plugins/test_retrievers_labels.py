"""Labels: which number has which key, and how a batch of queries is put to an engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calumma.interfaces import Labels, Query

KEYS = st.integers(-(2**63), 2**63 - 1)


class Recorder:
    """An engine over rows of one number each: it finds the largest, and remembers how it was asked."""

    def __init__(self, rows: list[float]) -> None:
        self.rows, self.asked = np.array(rows, np.float32), []

    def nearest(self, vectors, wanted, allowed):
        self.asked.append((len(vectors), wanted, None if allowed is None else allowed.tolist()))
        scores = vectors @ self.rows[None]
        if allowed is not None:
            scores = np.where(allowed, scores, np.float32(-np.inf))
        best = np.argsort(-scores, axis=1)[:, :wanted]
        return best, np.take_along_axis(scores, best, axis=1)


def ask(labels: Labels, engine: Recorder, *queries: Query, k: int = 2, filters: bool = True) -> list[list[int]]:
    vectors = np.array([query.vector for query in queries], np.float32)
    hits = labels.search(queries, vectors, k, engine.nearest, filters=filters)
    return [keys[:count].tolist() for keys, count in zip(hits.keys, hits.counts, strict=True)]


def query(**more: object) -> Query:
    return Query(vector=np.ones(1, np.float32), **{name: np.array(keys, np.int64) for name, keys in more.items()})


@pytest.fixture
def five() -> tuple[Labels, Recorder]:
    return Labels(np.array([50, 40, 30, 20, 10])), Recorder([5, 4, 3, 2, 1])


def test_a_batch_without_filters_is_one_question(five: tuple[Labels, Recorder]) -> None:
    assert ask(*five, *[query() for _ in range(64)]) == [[50, 40]] * 64
    assert five[1].asked == [(64, 2, None)]


def test_queries_that_exclude_as_many_keys_are_one_question(five: tuple[Labels, Recorder]) -> None:
    assert ask(*five, query(exclude=[50]), query(exclude=[40]), query(exclude=[77])) == [[40, 30], [50, 30], [50, 40]]
    assert five[1].asked == [(3, 3, None)]


def test_what_a_query_asks_of_the_engine_depends_on_itself_alone(five: tuple[Labels, Recorder]) -> None:
    ask(*five, query(exclude=[50]), query(exclude=[50, 40, 30]), query())
    assert sorted(five[1].asked) == [(1, 2, None), (1, 3, None), (1, 5, None)]


def test_queries_with_the_same_filter_are_one_question(five: tuple[Labels, Recorder]) -> None:
    some = query(only=[10, 30, 99])
    assert ask(*five, some, query(), some) == [[30, 10], [50, 40], [30, 10]]
    assert sorted(five[1].asked, key=str) == [(1, 2, None), (2, 2, [False, False, True, False, True])]


def test_a_filter_and_excluded_keys_are_one_mask(five: tuple[Labels, Recorder]) -> None:
    assert ask(*five, query(only=[10, 30, 50], exclude=[50, 7])) == [[30, 10]]
    assert five[1].asked == [(1, 2, [False, False, True, False, True])]


def test_nothing_is_asked_where_nothing_is_allowed(five: tuple[Labels, Recorder]) -> None:
    assert ask(*five, query(only=[]), query(only=[10], exclude=[10])) == [[], []]
    assert ask(Labels(), five[1], query()) == [[]]
    assert five[1].asked == []


@pytest.mark.parametrize(("filters", "asked"), [(True, (1, 2, False)), (False, (1, 514, True))])
def test_many_excluded_keys_are_a_mask_where_the_engine_takes_one(filters: bool, asked: tuple[int, int, bool]) -> None:
    labels, engine = Labels(np.arange(600)), Recorder(list(range(600, 0, -1)))
    assert ask(labels, engine, query(exclude=range(400)), filters=filters) == [[400, 401]]
    ((queries, wanted, allowed),) = engine.asked
    assert (queries, wanted, allowed is None) == asked


def test_never_more_is_wanted_than_there_is(five: tuple[Labels, Recorder]) -> None:
    assert ask(*five, query(exclude=[50, 40, 30]), k=9) == [[20, 10]]
    assert ask(*five, query(only=[50, 20]), k=9) == [[50, 20]]
    assert [wanted for _, wanted, _ in five[1].asked] == [5, 2]


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["add", "remove", "close up"]), st.sets(KEYS | st.integers(0, 9), max_size=8))))
def test_keys_are_found_after_any_changes(changes: list[tuple[str, set[int]]]) -> None:
    labels, there = Labels(), {}
    for what, keys in changes:
        if what == "add":
            fresh = [key for key in keys if key not in there]
            there |= dict(zip(fresh, labels.add(np.array(fresh, np.int64)).tolist(), strict=True))
        elif what == "remove":
            labels.remove(labels.find(np.array(list(keys), np.int64)))
            there = {key: label for key, label in there.items() if key not in keys}
        else:
            labels.close_up()
            there = {key: i for i, (key, _) in enumerate(sorted(there.items(), key=lambda one: one[1]))}
        assert labels.size == len(there) == int(labels.live.sum())
        some = np.array([*keys, *there], np.int64)
        assert labels.find(some).tolist() == sorted(there.values())
        assert set(labels.known(some).tolist()) == set(there)


def test_what_was_saved_opens_with_its_gaps(tmp_path: Path) -> None:
    labels = Labels(np.array([7, -(2**63), 2**40 + 1]))
    labels.remove(labels.find(np.array([7])))
    labels.save(tmp_path)
    opened = Labels.open(tmp_path)
    assert (opened.size, opened.find(np.array([7, 2**40 + 1, -(2**63)])).tolist()) == (2, [1, 2])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("live.npy", np.ones(2, np.bool_)),
        ("live.npy", np.ones(3, np.int8)),
        ("live.npy", np.array([1, 2, 3], np.uint8).view(np.bool_)),
        ("keys.npy", np.arange(3.0)),
        ("keys.npy", np.zeros((3, 1), np.int64)),
    ],
)
def test_files_that_do_not_fit_are_refused(name: str, content: np.ndarray, tmp_path: Path) -> None:
    Labels(np.arange(3)).save(tmp_path)
    np.save(tmp_path / name, content)
    with pytest.raises(ValueError):
        Labels.open(tmp_path)
