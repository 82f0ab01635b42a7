"""What this retriever adds to the contract: memory mapping, and answers where the graph hides rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from calumma.interfaces import Entries, Query, Vectors, normalised

from calumma_usearch.index import USearch
from calumma_usearch.options import USearchOptions


def rows(count: int, seed: int = 0) -> Vectors:
    return normalised(np.random.default_rng(seed).standard_normal((count, 16)).astype(np.float32))


def saved(folder: Path, count: int = 200) -> USearch:
    index = USearch(USearchOptions())
    index.add(Entries(np.arange(count) * 3, rows(count)))
    index.save(folder)
    return index


def test_a_mapped_index_is_searched_and_changed_like_any_other(tmp_path: Path) -> None:
    saved(tmp_path)
    mapped = USearch.open(tmp_path, USearchOptions(map_memory=True))
    query = Query(rows(200)[7])
    assert mapped.search([query], 1).keys.tolist() == [[21]]
    mapped.remove(np.array([21]))
    assert mapped.search([query], 1).keys.tolist() != [[21]]
    mapped.add(Entries(np.array([21]), rows(200)[7:8]))
    assert mapped.search([query], 1).keys.tolist() == [[21]]


def test_equal_vectors_are_all_found() -> None:
    index = USearch(USearchOptions())
    index.add(Entries(np.arange(1000), np.repeat(rows(1), 1000, axis=0)))
    hits = index.search([Query(rows(1)[0])], 1000)
    assert hits.counts.tolist() == [1000]
    assert hits.keys[0].tolist() == list(range(1000))


def test_any_key_may_be_used_even_the_one_that_usearch_keeps() -> None:
    index = USearch(USearchOptions())
    keys = np.array([-1, -(2**63), 2**63 - 1, 0])
    index.add(Entries(keys, rows(4)))
    assert index.search([Query(row) for row in rows(4)], 1).keys[:, 0].tolist() == keys.tolist()


def test_options_of_the_search_share_an_index_and_those_of_the_graph_do_not() -> None:
    plain = USearch(USearchOptions()).index_key()
    assert USearch(USearchOptions(expansion_search=128, map_memory=True)).index_key() == plain
    assert USearch(USearchOptions(connectivity=16)).index_key() != plain
    assert USearch(USearchOptions(scalar="float16")).index_key() != plain
