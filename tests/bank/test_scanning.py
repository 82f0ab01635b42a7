"""Exact search block by block gives what one look at all rows gives: ties by key, filters and exclusions obeyed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calumma.bank.scanning import nearest
from calumma.errors import InputError
from calumma.interfaces import Entries, Hits, Query

small = st.integers(-1, 1)  # so that scores are often equal


@settings(max_examples=200, deadline=None)
@given(
    rows=st.lists(st.tuples(small, small), max_size=24),
    asked=st.lists(st.tuples(small, small), max_size=3),
    k=st.integers(0, 30),
    block=st.integers(1, 9),
    chosen=st.randoms(use_true_random=False),
)
def test_blocks_give_what_all_rows_at_once_give(rows, asked, k, block, chosen) -> None:
    vectors = np.array(rows, np.float32).reshape(-1, 2)
    keys = np.array(chosen.sample(range(2**40, 2**40 + 99), len(rows)), np.int64)
    queries = []
    for vector in asked:
        only = chosen.choice([None, np.array(chosen.sample(list(keys), len(keys) // 2), np.int64)])
        excluded = np.array([*chosen.sample(list(keys), len(keys) // 3), 5], np.int64)
        queries.append(Query(vector=np.array(vector, np.float32), exclude=excluded, only=only))
    blocks = [Entries(keys[at : at + block], vectors[at : at + block]) for at in range(0, len(keys), block)]
    found = nearest(blocks, queries, k)
    assert found.keys.shape == (len(queries), k)
    for i, query in enumerate(queries):
        allowed = ~np.isin(keys, query.exclude) & (np.isin(keys, query.only) if query.only is not None else True)
        expected = Hits.of([(keys[allowed], (vectors @ query.vector)[allowed])], k)
        np.testing.assert_array_equal(found.keys[i], expected.keys[0])
        np.testing.assert_array_equal(found.scores[i], expected.scores[0])
        assert found.counts[i] == expected.counts[0]


def test_a_query_without_a_vector_is_refused() -> None:
    with pytest.raises(InputError, match="no vector"):
        nearest([], [Query(text="words")], 3)
