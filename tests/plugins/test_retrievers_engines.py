"""exact/flat and hnswlib/hnsw: what is their own beside the promises of every retriever."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from calumma.errors import AssetError, ComponentError
from calumma.interfaces import Entries, Hits, Query
from calumma_plugins.exact.flat import Flat
from calumma_plugins.exact.options import FlatOptions
from calumma_plugins.exact.products import TorchProducts
from calumma_plugins.hnswlib.hnsw import HNSW
from calumma_plugins.hnswlib.options import HNSWOptions


def vectors(n: int, seed: int = 0, dimension: int = 8) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(n, dimension)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def queries(n: int, dimension: int = 8, **more: Any) -> list[Query]:
    return [Query(vector, **more) for vector in vectors(n, 1, dimension)]


def flat(rows: np.ndarray, **options: Any) -> Flat:
    index = Flat(FlatOptions(**options))
    index.add(Entries(np.arange(len(rows)), rows))
    return index


def same(one: Hits, other: Hits) -> None:
    np.testing.assert_array_equal(one.keys, other.keys)
    np.testing.assert_array_equal(one.scores, other.scores)


# --- exact/flat ---


@settings(max_examples=40, deadline=None)
@given(block=st.integers(1, 90), n=st.integers(1, 80), k=st.integers(1, 90), batch=st.integers(1, 7))
def test_scores_are_the_same_to_the_last_bit_whatever_the_block_and_the_batch(block: int, n: int, k: int, batch: int) -> None:
    rows = np.repeat(vectors(n, dimension=33), 3, axis=0)  # every row three times: ties that rounding would break
    asked = queries(7, dimension=33)
    expected = flat(rows).search(asked, k)
    np.testing.assert_array_equal(expected.counts, min(k, 3 * n))
    index = flat(rows, block=block)
    for start in range(0, 7, batch):
        some = index.search(asked[start : start + batch], k)
        same(some, Hits(*(part[start : start + batch] for part in (expected.keys, expected.scores, expected.counts))))


def test_a_row_below_the_rounding_of_float32_products_is_still_in_its_place() -> None:
    close = np.ones((4000, 512), np.float32)
    close[np.arange(4000), np.arange(4000) % 512] += np.float32(1e-4) * (1 + np.arange(4000) % 7).astype(np.float32)
    true = close.astype(np.float64).sum(axis=1).astype(np.float32)
    hits = flat(close, block=1000).search([Query(np.ones(512, np.float32))], 50)
    np.testing.assert_array_equal(hits.keys[0], np.lexsort((np.arange(4000), -true))[:50])


@pytest.mark.parametrize("precision", ["highest", "high"])
def test_torch_finds_the_same_as_numpy(precision: str) -> None:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        index, other = flat(vectors(700), block=128), flat(vectors(700), block=128)
        other._products = TorchProducts("cpu")
        some = np.arange(0, 700, 9)
        for asked in (queries(9), queries(9, only=some), queries(9, exclude=some), queries(3, only=np.arange(600))):
            same(index.search(asked, 20), other.search(asked, 20))
        for one in (index, other):
            one.remove(np.arange(50))
            one.add(Entries(np.arange(1000, 1100), vectors(100, seed=4)))
        same(index.search(queries(9), 20), other.search(queries(9), 20))
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_not_replaced_silently() -> None:
    with pytest.raises(ComponentError, match="no GPU"):
        Flat(FlatOptions(device="cuda")).warm_up()
    with pytest.raises(ComponentError, match="no GPU"):
        flat(vectors(3), device="cuda").search(queries(1), 1)
    with pytest.raises(ComponentError, match="no GPU"):
        Flat(FlatOptions(device="auto")).warm_up("cuda:0")
    Flat(FlatOptions()).warm_up("cuda")  # by default the CPU computes, wherever the pipeline runs


def test_removed_rows_are_not_saved(tmp_path: Path) -> None:
    index = flat(vectors(30))
    index.remove(np.arange(10))
    index.save(tmp_path)
    np.testing.assert_array_equal(np.load(tmp_path / "keys.npy"), np.arange(10, 30))
    np.testing.assert_array_equal(np.load(tmp_path / "vectors.npy"), vectors(30)[10:])


def test_an_opened_index_is_mapped_until_rows_are_added(tmp_path: Path) -> None:
    flat(vectors(30)).save(tmp_path)
    index = Flat.open(tmp_path, FlatOptions())
    assert not index._vectors.flags.writeable
    index.remove(np.array([4]))
    assert not index._vectors.flags.writeable
    index.add(Entries(np.array([99]), vectors(1, seed=4)))
    assert index._vectors.flags.writeable
    assert index.search([Query(vectors(1, seed=4)[0])], 1).keys.tolist() == [[99]]


def test_a_saved_index_with_numbers_that_are_none_is_damaged(tmp_path: Path) -> None:
    flat(vectors(30)).save(tmp_path)
    rows = vectors(30)
    rows[3, 3] = np.nan
    np.save(tmp_path / "vectors.npy", rows)
    with pytest.raises(AssetError, match="damaged"):
        Flat.open(tmp_path, FlatOptions()).search(queries(1), 3)


# --- hnswlib/hnsw ---


class Spy:
    """Stands before an index of hnswlib and remembers what is asked of it."""

    def __init__(self, index: Any) -> None:
        self._index, self.calls = index, []

    def __getattr__(self, name: str) -> Any:
        self.calls.append(name)
        return getattr(self._index, name)


def hnsw(rows: np.ndarray, **options: Any) -> HNSW:
    index = HNSW(HNSWOptions(**options))
    index.add(Entries(np.arange(len(rows)), rows))
    index._index = Spy(index._index)
    return index


def test_a_batch_is_one_call_and_a_search_sets_nothing() -> None:
    index = hnsw(vectors(300))
    index.search(queries(64), 10)
    assert [name for name in index._index.calls if name != "dim"] == ["knn_query"]


def test_many_equal_rows_are_all_found_though_the_graph_is_cut() -> None:
    index = hnsw(np.repeat(vectors(1), 600, axis=0), M=2, ef_search=10)
    hits = index.search([Query(vectors(1)[0]), *queries(2)], 600)
    assert [sorted(row) for row in hits.keys.tolist()] == [list(range(600))] * 3


@pytest.mark.parametrize(("n", "way"), [(40, "get_items"), (900, "knn_query")])
def test_a_filter_is_walked_or_scored_by_how_much_it_allows(n: int, way: str) -> None:
    index, rows = hnsw(vectors(1000)), vectors(1000)
    only = np.arange(n)
    hits = index.search(queries(5, only=only), 10)
    assert {name for name in index._index.calls if name in ("get_items", "knn_query")} == {way}
    for keys, query in zip(hits.keys, queries(5), strict=True):
        assert len(set(keys) & set(np.argsort(-(rows[:n] @ query.vector))[:10])) >= 9


def test_it_grows_past_the_room_that_it_began_with() -> None:
    index = HNSW(HNSWOptions())
    for start, end in ((0, 10), (10, 11), (11, 500)):
        index.add(Entries(np.arange(start, end), vectors(500)[start:end]))
    assert index._index.get_max_elements() >= 500
    assert index.search([Query(vector) for vector in vectors(500)[::50]], 1).keys[:, 0].tolist() == list(range(0, 500, 50))


def test_threads_build_an_index_that_finds_as_much() -> None:
    index = hnsw(vectors(500), build_threads=2, search_threads=2)
    hits = index.search([Query(vector) for vector in vectors(500)], 1)
    assert np.mean(hits.keys[:, 0] == np.arange(500)) >= 0.98
