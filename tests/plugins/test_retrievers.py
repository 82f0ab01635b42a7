"""Every retriever keeps the same promises; FAISS and hnswlib find what their own libraries find in the saved files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import faiss
import hnswlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calumma.errors import AssetError, CalummaError, ComponentError, InputError
from calumma.interfaces import Entries, Hits, Query, Retriever
from calumma_plugins.exact.flat import Flat
from calumma_plugins.exact.options import FlatOptions
from calumma_plugins.faiss.index import FaissIndex
from calumma_plugins.faiss.options import FaissOptions
from calumma_plugins.hnswlib.hnsw import HNSW
from calumma_plugins.hnswlib.options import HNSWOptions
from calumma_plugins.none.none import Nothing
from calumma_plugins.none.options import NothingOptions

ENGINES: list[tuple[type[Retriever], Any]] = [
    (Flat, FlatOptions(block=7)),
    (FaissIndex, FaissOptions()),
    (FaissIndex, FaissOptions(factory="HNSW16", ef_search=64)),
    (FaissIndex, FaissOptions(factory="IVF4,Flat", nprobe=4)),
    (HNSW, HNSWOptions(M=16)),
]
EXTREMES = np.array([-(2**63), 2**63 - 1, -1, 0])
engines = pytest.mark.parametrize(("kind", "options"), ENGINES, ids=lambda one: getattr(one, "__name__", None) or repr(one))


def vectors(n: int, seed: int = 0, dimension: int = 8) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(n, dimension)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def keys_for(n: int) -> np.ndarray:
    """Distinct keys from all of int64, its ends, 0 and -1 among them."""
    rest = np.random.default_rng(1).choice(np.arange(10, 10 + 100 * n) * 90_000_000_000, n, replace=False)
    return np.concatenate([EXTREMES, rest])[:n]


def filled(kind: type[Retriever], options: Any, n: int = 200) -> Retriever:
    index = kind(options)
    index.add(Entries(keys_for(n), vectors(n)))
    return index


def exact(query: np.ndarray, n: int = 200, k: int = 5) -> list[int]:
    scores = vectors(n) @ query
    return list(keys_for(n)[np.argsort(-scores)][:k])


def found(hits: Hits, row: int = 0) -> list[int]:
    return list(hits.keys[row, : hits.counts[row]])


@engines
def test_it_finds_the_true_best_among_any_int64_keys(kind: type[Retriever], options: Any) -> None:
    index, queries = filled(kind, options), vectors(20, seed=2)
    hits = index.search([Query(vector=q) for q in queries], 5)
    assert index.size == 200
    assert hits.keys.dtype == np.int64
    assert hits.scores.dtype == np.float32
    recall = np.mean([len(set(found(hits, i)) & set(exact(q))) / 5 for i, q in enumerate(queries)])
    assert recall >= 0.98
    assert (np.diff(hits.scores, axis=1) <= 0).all()
    where = {key: row for row, key in enumerate(keys_for(200))}
    np.testing.assert_allclose(hits.scores[0], [vectors(200)[where[key]] @ queries[0] for key in found(hits)], atol=1e-5)


@engines
def test_keys_of_all_extremes_can_be_found(kind: type[Retriever], options: Any) -> None:
    index = filled(kind, options)
    for key, vector in zip(EXTREMES, vectors(200), strict=False):
        assert found(index.search([Query(vector=vector)], 1)) == [key]


@engines
def test_excluded_keys_are_not_returned_and_do_not_cost_answers(kind: type[Retriever], options: Any) -> None:
    index, query = filled(kind, options), vectors(1, seed=3)[0]
    best = exact(query, k=10)
    hits = index.search([Query(vector=query, exclude=np.array(best[:5])), Query(vector=query)], 5)
    assert found(hits, 0) == best[5:]
    assert found(hits, 1) == best[:5]


@engines
def test_more_than_there_is_gives_what_there_is(kind: type[Retriever], options: Any) -> None:
    hits = filled(kind, options, n=30).search([Query(vector=vectors(1, seed=4)[0])], 50)
    assert hits.keys.shape == (1, 50)
    assert sorted(found(hits)) == sorted(keys_for(30))
    assert (hits.keys[0, 30:] == -1).all()
    assert np.isneginf(hits.scores[0, 30:]).all()


@engines
def test_an_empty_index_finds_nothing_and_can_be_saved(kind: type[Retriever], options: Any, tmp_path: Path) -> None:
    index = kind(options)
    index.save(tmp_path)
    for one in (index, kind.open(tmp_path, options)):
        assert one.size == 0
        assert one.search([Query(vector=vectors(1)[0])], 3).counts.tolist() == [0]


@engines
def test_what_is_saved_opens_and_finds_the_same(kind: type[Retriever], options: Any, tmp_path: Path) -> None:
    index, queries = filled(kind, options), [Query(vector=v) for v in vectors(10, seed=5)]
    index.save(tmp_path)
    opened = kind.open(tmp_path, options)
    before, after = index.search(queries, 7), opened.search(queries, 7)
    np.testing.assert_array_equal(before.keys, after.keys)
    np.testing.assert_array_equal(before.scores, after.scores)


@engines
def test_an_opened_index_grows(kind: type[Retriever], options: Any, tmp_path: Path) -> None:
    filled(kind, options).save(tmp_path)
    index, more = kind.open(tmp_path, options), vectors(300, seed=6)
    index.add(Entries(np.arange(1, 301), more))
    assert index.size == 500
    assert found(index.search([Query(vector=more[299])], 1)) == [300]
    assert found(index.search([Query(vector=vectors(200)[0])], 1)) == [EXTREMES[0]]


@engines
def test_two_builds_are_the_same(kind: type[Retriever], options: Any) -> None:
    queries = [Query(vector=v) for v in vectors(10, seed=7)]
    np.testing.assert_array_equal(filled(kind, options).search(queries, 9).keys, filled(kind, options).search(queries, 9).keys)


@engines
def test_a_key_twice_is_refused(kind: type[Retriever], options: Any) -> None:
    index = filled(kind, options)
    with pytest.raises(InputError, match="twice"):
        index.add(Entries(np.array([-1]), vectors(1)))
    with pytest.raises(InputError, match="twice"):
        kind(options).add(Entries(np.array([1, 1]), vectors(2)))
    assert index.size == 200


@engines
def test_a_query_without_a_vector_is_refused(kind: type[Retriever], options: Any) -> None:
    with pytest.raises(InputError, match="by vector"):
        filled(kind, options).search([Query(text="words")], 1)


@engines
def test_a_folder_that_holds_no_index_is_refused(kind: type[Retriever], options: Any, tmp_path: Path) -> None:
    with pytest.raises(AssetError, match="no index"):
        kind.open(tmp_path, options)
    filled(kind, options).save(tmp_path)
    np.save(tmp_path / "keys.npy", np.arange(3))
    with pytest.raises(AssetError, match="damaged"):
        kind.open(tmp_path, options)


@engines
def test_removing_works_where_it_is_a_capability_and_is_refused_elsewhere(
    kind: type[Retriever], options: Any, tmp_path: Path
) -> None:
    index, query = filled(kind, options), vectors(1, seed=8)[0]
    best = exact(query, k=8)
    if "deletes" not in index.capabilities:
        with pytest.raises(ComponentError, match="cannot remove"):
            index.remove(np.array(best[:1]))
        return
    index.remove(np.array([*best[:3], 123456]))
    assert index.size == 197
    assert found(index.search([Query(vector=query)], 5)) == best[3:]
    index.save(tmp_path)
    opened = kind.open(tmp_path, options)
    assert found(opened.search([Query(vector=query)], 5)) == best[3:]
    opened.add(Entries(np.array(best[:1]), query[None]))
    assert found(opened.search([Query(vector=query)], 1)) == best[:1]
    opened.remove(keys_for(200))
    assert opened.size == 0
    assert opened.search([Query(vector=query)], 3).counts.tolist() == [0]


@settings(max_examples=60, deadline=None)
@given(data=st.data(), n=st.integers(1, 40), k=st.integers(1, 50), block=st.integers(1, 12))
def test_ties_go_to_the_smaller_key_whatever_the_block(data: st.DataObject, n: int, k: int, block: int) -> None:
    keys = np.array(data.draw(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=n, max_size=n, unique=True)))
    scores = np.array(data.draw(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=n, max_size=n)), np.float32)
    index = Flat(FlatOptions(block=block))
    index.add(Entries(keys, scores[:, None]))
    expected = [key for _, key in sorted(zip(-scores, keys.tolist(), strict=True))][:k]
    assert found(index.search([Query(vector=np.ones(1, np.float32))], k)) == expected


@pytest.mark.parametrize("factory", ["Flat", "HNSW16", "IVF4,Flat", "PCA4,Flat"])
def test_faiss_itself_finds_the_same_in_the_saved_file(factory: str, tmp_path: Path) -> None:
    index, queries = filled(FaissIndex, FaissOptions(factory=factory)), vectors(10, seed=9)
    index.save(tmp_path)
    scores, labels = faiss.read_index(str(tmp_path / "index.faiss")).search(queries, 6)
    ours = index.search([Query(vector=q) for q in queries], 6)
    np.testing.assert_array_equal(np.where(labels < 0, -1, np.load(tmp_path / "keys.npy")[labels]), ours.keys)
    np.testing.assert_allclose(np.where(labels < 0, -np.inf, scores), ours.scores, atol=1e-6)


def test_hnswlib_itself_finds_the_same_in_the_saved_file(tmp_path: Path) -> None:
    index, queries = filled(HNSW, HNSWOptions(M=8, ef_search=20)), vectors(10, seed=9)
    index.save(tmp_path)
    direct = hnswlib.Index(space="ip", dim=8)
    direct.load_index(str(tmp_path / "index.hnsw"))
    direct.set_ef(20)
    labels, distances = direct.knn_query(queries, 6)
    ours = index.search([Query(vector=q) for q in queries], 6)
    np.testing.assert_array_equal(np.load(tmp_path / "keys.npy")[labels.astype(int)], ours.keys)
    np.testing.assert_allclose(1 - distances, ours.scores, atol=1e-6)


def test_too_few_vectors_to_train_say_what_to_use_instead() -> None:
    with pytest.raises(ComponentError, match="100 vectors are too few to train the FAISS index 'IVF256,PQ4'") as caught:
        FaissIndex(FaissOptions(factory="IVF256,PQ4")).add(Entries(np.arange(100), vectors(100)))
    assert "Flat" in caught.value.fix


@pytest.mark.parametrize(
    "options", [{"factory": "Flatt"}, {"factory": "Flat", "nprobe": 4}, {"factory": "IVF4,Flat", "ef_search": 4}]
)
def test_a_factory_and_its_options_must_fit(options: dict[str, Any]) -> None:
    with pytest.raises(CalummaError, match="FAISS"):
        FaissIndex(FaissOptions(**options)).add(Entries(np.arange(100), vectors(100)))


def test_nothing_finds_nothing(tmp_path: Path) -> None:
    index = Nothing(NothingOptions())
    index.add(Entries(np.arange(3), vectors(3)))
    index.save(tmp_path)
    assert Nothing.open(tmp_path, NothingOptions()).search([Query(), Query()], 4).counts.tolist() == [0, 0]
    assert not Nothing.accepts


def test_options_of_searching_do_not_name_another_index() -> None:
    a, b, c = (HNSW(HNSWOptions(M=m, ef_search=ef)) for m, ef in [(8, 10), (8, 99), (9, 10)])
    assert a.index_key() == b.index_key() != c.index_key()
    assert len({one.fingerprint() for one in (a, b, c)}) == 3
