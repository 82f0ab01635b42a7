"""faiss/index: what a factory string promises, what it learns from, what stays on disk, and where FAISS finds too few."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest

from calumma.errors import AssetError, ComponentError
from calumma.interfaces import Entries, Query
from calumma_plugins.faiss.factory import read
from calumma_plugins.faiss.index import FaissIndex
from calumma_plugins.faiss.options import FaissOptions

DIMENSION = 16


def vectors(n: int, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(n, DIMENSION)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def filled(n: int = 400, **options: Any) -> FaissIndex:
    index = FaissIndex(FaissOptions(**options))
    index.add(Entries(np.arange(n) * 3, vectors(n)))
    return index


def keys(index: FaissIndex, *queries: Query, k: int = 5) -> list[list[int]]:
    hits = index.search(queries, k)
    return [row[:count].tolist() for row, count in zip(hits.keys, hits.counts, strict=True)]


FACTORIES = [
    "Flat", "SQ8", "SQfp16", "RaBitQ", "PQ4np", "PQ4x4fs", "PCA8,Flat", "L2norm,SQ8", "OPQ4,PQ4np", "RR8,HNSW8",
    "HNSW8", "HNSW8,SQ8", "HNSW8_SQ8", "NSG8", "SQ8,RFlat", "IVF4,Flat", "IVF4_HNSW8,Flat", "IVF4,PQ4", "IVF4,PQ4x4fs",
    "IVF4,SQ8", "IVF4(HNSW8),Flat", "PCA8,IVF4,SQ8", "IVF4,Flat,RFlat", "RQ2x4", "IVF4,RQ2x4",
]  # fmt: skip


@pytest.mark.parametrize("factory", FACTORIES)
def test_a_factory_string_can_do_what_it_promises(factory: str, tmp_path: Path) -> None:
    index = filled(factory=factory)
    if "grows" in index.capabilities:
        index.add(Entries(np.array([-5]), vectors(1, seed=5)))
        assert index.size == 401
    if "deletes" in index.capabilities:
        index.remove(np.array([3, 6, 9, 10]))
        assert index.size == 398
    if "filters" in index.capabilities:
        only = np.array([300, 600, 9000])
        assert [set(row) for row in keys(index, *[Query(one, only=only) for one in vectors(3, 2)])] == [{300, 600}] * 3
    if "maps memory" in index.capabilities:
        before = keys(index, *[Query(vector) for vector in vectors(9, 1)])
        index.save(tmp_path)
        mapped = FaissIndex.open(tmp_path, FaissOptions(factory=factory, map_memory=True))
        assert keys(mapped, *[Query(vector) for vector in vectors(9, 1)]) == before


@pytest.mark.parametrize(
    ("factory", "rows"),
    [
        ("Flat", 0), ("HNSW32", 0), ("HNSW32,Flat", 0), ("IVF64,Flat", 64 * 256), ("IVF1k_HNSW32,Flat", 1024 * 256),
        ("IVF4,PQ8", 65_536), ("IVF4,PQ8x10", 2**10 * 256), ("PQ8x4", 16 * 256), ("OPQ8,IVF4,Flat", 65_536), ("SQ8", 65_536),
    ],
)  # fmt: skip
def test_an_index_wants_to_learn_from_as_many_rows_as_its_factory_needs(factory: str, rows: int) -> None:
    assert FaissIndex(FaissOptions(factory=factory)).train_rows == read(factory).train_rows == rows
    assert FaissIndex(FaissOptions(factory=factory, train_size=99)).train_rows == (99 if rows else 0)


def test_no_more_rows_are_learned_from_than_train_size(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[np.ndarray] = []
    real = faiss.IndexIVFFlat.train
    monkeypatch.setattr(faiss.IndexIVFFlat, "train", lambda self, rows: (seen.append(rows.copy()), real(self, rows))[1])
    filled(factory="IVF4,Flat", train_size=160)
    sampled = FaissIndex(FaissOptions(factory="IVF4,Flat"))
    sampled.train(vectors(170, seed=3), 400)
    sampled.add(Entries(np.arange(400), vectors(400)))
    assert [rows.shape for rows in seen] == [(160, DIMENSION), (170, DIMENSION)]
    assert np.isin(seen[0][[0, -1]], vectors(400)).all()
    np.testing.assert_array_equal(seen[0][[0, -1]], vectors(400)[[0, -1]])  # from the whole of what was added
    assert sampled.size == 400


def test_training_is_once_and_before_rows() -> None:
    index = filled()
    with pytest.raises(ComponentError, match="trained already"):
        index.train(vectors(10), 10)
    assert index.size == 400


def test_an_index_that_only_learned_is_saved_as_it_is(tmp_path: Path) -> None:
    index = FaissIndex(FaissOptions(factory="IVF4,Flat", nprobe=4))
    index.train(vectors(200), 400)
    index.save(tmp_path)
    opened = FaissIndex.open(tmp_path, index.options)
    assert (opened.size, keys(opened, Query(vectors(1)[0]))) == (0, [[]])
    opened.add(Entries(np.array([5]), vectors(1)))
    assert keys(opened, Query(vectors(1)[0])) == [[5]]


def test_a_factory_that_cannot_grow_or_stay_on_disk_says_so() -> None:
    index = filled(factory="NSG8")
    with pytest.raises(ComponentError, match="does not grow"):
        index.add(Entries(np.array([1]), vectors(1)))
    with pytest.raises(ComponentError, match="on disk"):
        FaissIndex(FaissOptions(factory="SQ8,RFlat", map_memory=True))
    with pytest.raises(ComponentError, match="cannot add"):
        filled(factory="IDMap,Flat")


def test_lists_are_visited_until_there_are_k() -> None:
    index = filled(factory="IVF16,Flat", nprobe=1)
    assert [len(row) for row in keys(index, *[Query(vector) for vector in vectors(20, 1)], k=300)] == [300] * 20
    only = np.array([0, 3, 600])
    assert [set(row) for row in keys(index, *[Query(vector, only=only) for vector in vectors(20, 1)])] == [{0, 3, 600}] * 20


def test_a_graph_that_leads_to_few_of_many_equal_rows_is_not_believed() -> None:
    index = FaissIndex(FaissOptions(factory="HNSW4"))
    index.add(Entries(np.arange(1000), np.repeat(vectors(1), 1000, axis=0)))
    (found,) = keys(index, Query(vectors(1)[0]), k=1000)
    assert sorted(found) == list(range(1000))


@pytest.mark.parametrize("few", [0, 20_000])
def test_a_filtered_graph_finds_what_is_there_walked_or_scored(few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("calumma_plugins.faiss.engine.FEW", few)
    index, rows = filled(1500, factory="HNSW16", ef_search=48), vectors(1500)
    for only in (np.arange(0, 4500, 9), np.array([999])):
        allowed = only // 3
        for vector in vectors(10, 1):
            (found,) = keys(index, Query(vector, only=only))
            best = (allowed[np.argsort(-(rows[allowed] @ vector))] * 3).tolist()[:5]
            assert len(found) == len(best)
            assert len(set(found) & set(best)) >= len(best) - 1


def test_a_mapped_index_leaves_lists_on_disk_until_it_changes(tmp_path: Path) -> None:
    options = FaissOptions(factory="IVF4,Flat", nprobe=4, map_memory=True)
    (tmp_path / "a").mkdir()
    filled(factory="IVF4,Flat", nprobe=4).save(tmp_path / "a")
    content = (tmp_path / "a" / "index.faiss").read_bytes()
    mapped = FaissIndex.open(tmp_path / "a", options)
    assert mapped._engine is not None
    assert isinstance(faiss.downcast_InvertedLists(mapped._engine.index.invlists), faiss.OnDiskInvertedLists)
    before = keys(mapped, *[Query(vector) for vector in vectors(9, 1)])
    (tmp_path / "b").mkdir()
    mapped.save(tmp_path / "b")
    assert (tmp_path / "b" / "index.faiss").read_bytes() == content
    shutil.rmtree(tmp_path / "a")  # what is mapped stays readable
    assert keys(mapped, *[Query(vector) for vector in vectors(9, 1)]) == before
    mapped.remove(np.array([3]))
    mapped.add(Entries(np.array([-1]), vectors(1, seed=8)))
    assert keys(mapped, Query(vectors(1, seed=8)[0]), k=1) == [[-1]]
    assert mapped.size == 400
    assert keys(FaissIndex.open(tmp_path / "b", options), *[Query(vector) for vector in vectors(9, 1)]) == before


@pytest.mark.parametrize("factory", ["Flat", "HNSW8", "IVF4,Flat", "IVF4,PQ4"])
def test_a_mapped_file_that_was_cut_off_is_refused(factory: str, tmp_path: Path) -> None:
    filled(factory=factory).save(tmp_path)
    path = tmp_path / "index.faiss"
    content = path.read_bytes()
    for length in (len(content) - 1, len(content) // 2, 10, 0):
        path.write_bytes(content[:length])
        with pytest.raises(AssetError):
            FaissIndex.open(tmp_path, FaissOptions(factory=factory, map_memory=True))


def test_a_file_of_another_factory_is_refused(tmp_path: Path) -> None:
    filled(factory="IVF4,Flat").save(tmp_path)
    for factory in ("HNSW8", "Flat", "IVF4,SQ8"):
        with pytest.raises(AssetError, match="no index"):
            FaissIndex.open(tmp_path, FaissOptions(factory=factory))
