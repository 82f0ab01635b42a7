"""lance/ivf looks at all of few rows, at partitions of many, reads little of them, and keeps its files to itself."""

from __future__ import annotations

import gc
import json
import os
from pathlib import Path
from typing import Any

import lance
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calumma.errors import AssetError, ComponentError
from calumma.interfaces import Entries, Hits, Query
from calumma_plugins.lance.ivf import LanceIVF
from calumma_plugins.lance.keys import KnownKeys
from calumma_plugins.lance.options import LanceOptions
from calumma_plugins.lance.training import codebook, partitions

N, D = 1200, 16
SMALL: dict[str, Any] = {"index_from": 256, "num_partitions": 8, "num_sub_vectors": 4}


def vectors(n: int = N, seed: int = 0, dimension: int = D) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(n, dimension)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def keys(n: int = N, first: int = 0) -> np.ndarray:
    return (np.arange(first, first + n) * 7919 - 2**62).astype(np.int64)


def filled(n: int = N, **options: Any) -> LanceIVF:
    index = LanceIVF(LanceOptions(**options))
    index.add(Entries(keys(n), vectors(n)))
    return index


def found(hits: Hits, row: int = 0) -> list[int]:
    return hits.keys[row, : hits.counts[row]].tolist()


def asked(index: LanceIVF, k: int = 10, n: int = 20, **more: Any) -> Hits:
    return index.search([Query(vector=vector, **more) for vector in vectors(n, seed=9)], k)


def recall(hits: Hits, rows: np.ndarray, names: np.ndarray, k: int = 10, n: int = 20) -> float:
    best = [names[np.argsort(-(rows @ vector))[:k]] for vector in vectors(n, seed=9)]
    return float(np.mean([np.isin(one, found(hits, i)).mean() for i, one in enumerate(best)]))


# --- few rows, and many ---


def test_few_rows_are_all_looked_at() -> None:
    index = filled()
    hits = asked(index)
    assert index._segments == 0
    for i, vector in enumerate(vectors(20, seed=9)):
        scores = vectors() @ vector
        order = np.argsort(-scores)[:10]
        assert found(hits, i) == keys()[order].tolist()
        np.testing.assert_allclose(hits.scores[i], scores[order], atol=1e-6)


def test_many_rows_are_looked_at_in_partitions() -> None:
    all_of_them, one = filled(index="IVF_FLAT", nprobes=8, **SMALL), filled(index="IVF_FLAT", nprobes=1, **SMALL)
    assert all_of_them._segments == one._segments == 1
    assert recall(asked(all_of_them), vectors(), keys()) == 1
    assert 0.2 < recall(asked(one), vectors(), keys()) < 0.9
    assert (asked(one, k=N).counts == N).all(), "where a partition does not hold enough, more are read"


@pytest.mark.parametrize("index", ["IVF_PQ", "IVF_HNSW_SQ"])
def test_compressed_vectors_are_scored_anew(index: str) -> None:
    rough, fine = filled(index=index, refine_factor=1, **SMALL), filled(index=index, refine_factor=20, **SMALL)
    assert recall(asked(fine), vectors(), keys()) >= max(0.98, recall(asked(rough), vectors(), keys()))
    hits, row = asked(fine), {int(key): i for i, key in enumerate(keys())}
    expected = [vectors()[row[key]] @ vectors(20, seed=9)[0] for key in found(hits)]
    np.testing.assert_allclose(hits.scores[0], expected, atol=1e-5)


def test_a_search_reads_a_part_of_what_is_on_disk(tmp_path: Path) -> None:
    index = LanceIVF(LanceOptions(index_from=4096, nprobes=2))
    index.add(Entries(keys(5000), vectors(5000, dimension=128)))
    index.save(tmp_path)
    opened = LanceIVF.open(tmp_path, index.options)
    opened.search([Query(vector=vectors(1, 9, 128)[0])], 10)
    read = opened._rows.io_stats_incremental().read_bytes
    assert 0 < read < 5000 * 128 * 4 / 4


# --- what it learns, and when ---


def test_the_index_is_built_when_the_announced_rows_have_come() -> None:
    index = LanceIVF(LanceOptions(**SMALL))
    index.train(vectors(600), N)
    index.add(Entries(keys(600), vectors()[:600]))
    assert index._segments == 0
    index.add(Entries(keys()[600:], vectors()[600:]))
    assert index._segments == 1
    assert recall(asked(index), vectors(), keys()) > 0.9


def test_a_sample_that_is_too_small_to_learn_from_is_left_for_the_rows_themselves() -> None:
    index = LanceIVF(LanceOptions(**SMALL))
    index.train(vectors(20), N)
    index.add(Entries(keys(), vectors()))
    assert index._segments == 1
    assert recall(asked(index), vectors(), keys()) > 0.9


def test_fewer_rows_than_were_announced_are_indexed_when_saved(tmp_path: Path) -> None:
    index = LanceIVF(LanceOptions(**SMALL))
    index.train(vectors(600), 10 * N)
    index.add(Entries(keys(), vectors()))
    assert index._segments == 0
    index.save(tmp_path)
    assert LanceIVF.open(tmp_path, index.options)._segments == 1


def test_rows_that_come_later_are_found_at_once_and_indexed_when_there_are_many() -> None:
    index, more = filled(**SMALL), vectors(1000, seed=3)
    for start, end, segments, waiting in ((0, 5, 1, 5), (5, 255, 1, 255), (255, 300, 2, 0), (300, 1000, 3, 0)):
        index.add(Entries(keys(end - start, N + start), more[start:end]))
        assert (index._segments, index._unindexed) == (segments, waiting)
        hits = index.search([Query(vector=vector) for vector in more[start:end:20]], 1)
        assert np.mean(hits.keys[:, 0] == keys(end - start, N + start)[::20]) >= 0.9
    assert recall(asked(index), np.concatenate([vectors(), more]), keys(N + 1000)) > 0.9


def test_an_index_of_many_pieces_becomes_one() -> None:
    index = filled(refine_factor=40, **SMALL)
    for i in range(9):
        index.add(Entries(keys(256, N + 256 * i), vectors(256, seed=20 + i)))
    assert index._segments == 2
    everything = np.concatenate([vectors(), *(vectors(256, seed=20 + i) for i in range(9))])
    assert recall(asked(index), everything, keys(N + 9 * 256)) > 0.9


def test_what_is_learnt_does_not_depend_on_chance() -> None:
    for learn in (lambda: partitions(vectors(), 8), lambda: codebook(vectors(), 4)):
        np.testing.assert_array_equal(learn(), learn())
    np.testing.assert_allclose(np.linalg.norm(partitions(vectors() * 7, 8), axis=1), 1, atol=1e-6)


def test_partitions_are_those_of_clusters() -> None:
    centres = vectors(6, seed=1)
    rows = np.repeat(centres, 50, axis=0) + np.random.default_rng(2).normal(scale=0.01, size=(300, D))
    rows[:2] = 0
    learnt = partitions(rows.astype(np.float32), 24)
    assert ((learnt @ centres.T).max(axis=0) > 0.99).all()


def test_a_codebook_is_nearer_than_rows_drawn_by_chance() -> None:
    rows = vectors(4000, seed=4)

    def error(book: np.ndarray) -> float:
        parts = rows.reshape(len(rows), len(book), -1)
        near = [((parts[:, i, None] - one[None]) ** 2).sum(axis=2).min(axis=1) for i, one in enumerate(book)]
        return float(np.sum(near))

    drawn = rows[:256].reshape(256, 2, -1).transpose(1, 0, 2)
    learnt = codebook(rows, 2)
    assert learnt.shape == (2, 256, 8)
    assert error(learnt) < 0.9 * error(drawn)


def test_sub_vectors_must_divide_the_dimension() -> None:
    with pytest.raises(ComponentError, match="num_sub_vectors = 5 does not divide the 16 dimensions"):
        filled(num_sub_vectors=5)
    assert filled(10, num_sub_vectors=5, index="IVF_FLAT").size == 10
    for dimension, parts in ((512, 64), (16, 2), (7, 1), (20, 2), (100, 10)):
        assert LanceIVF(LanceOptions())._sub_vectors(dimension) == parts


# --- filters ---


@pytest.mark.parametrize("options", [{}, SMALL])
def test_filters_of_any_size_are_applied_before_the_search(options: dict[str, Any]) -> None:
    index = filled(**options)
    only = np.concatenate([keys()[700:705], [5, -6]])
    hits = asked(index, n=5, only=only, exclude=keys()[700:701])
    assert all(set(found(hits, i)) == set(keys()[701:705].tolist()) for i in range(5))
    many = np.concatenate([keys()[:600], np.arange(15_000)])
    assert recall(asked(index, n=5, only=many), vectors()[:600], keys(600), n=5) > 0.9
    gone = keys()[:1100]
    assert recall(asked(index, n=5, exclude=gone), vectors()[1100:], keys()[1100:], n=5) > 0.9


# --- on disk ---


def test_what_was_added_in_many_pieces_is_saved_in_few(tmp_path: Path) -> None:
    index = filled(300, **SMALL)
    for i in range(70):
        index.add(Entries(keys(2, 300 + 2 * i), vectors(440)[300 + 2 * i : 302 + 2 * i]))
    index.remove(keys()[:20])
    before = asked(index)
    index.save(tmp_path)
    opened = LanceIVF.open(tmp_path, index.options)
    assert len(opened._rows.get_fragments()) < 10
    assert len(opened._rows.versions()) == 1
    np.testing.assert_array_equal(before.keys, asked(opened).keys)
    np.testing.assert_array_equal(before.keys, asked(index).keys)


@pytest.mark.parametrize("links", [True, False])
def test_an_opened_index_shares_files_and_never_changes_them(
    links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object) -> None:
        raise OSError("no links here")

    filled(**SMALL).save(tmp_path)
    if not links:
        monkeypatch.setattr(os, "link", refuse)
    content = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    opened = LanceIVF.open(tmp_path, LanceOptions(**SMALL))
    opened.remove(keys()[:500])
    opened.add(Entries(keys(700, N), vectors(700, seed=5)))
    again = tmp_path.parent / f"again-{links}"
    again.mkdir()
    opened.save(again)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == content
    assert LanceIVF.open(again, LanceOptions(**SMALL)).size == N + 200


def test_temporary_files_go_with_the_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    index = filled(50)
    assert len(list(tmp_path.iterdir())) == 1
    del index
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_an_index_of_another_sort_is_refused(tmp_path: Path) -> None:
    filled(50).save(tmp_path)
    with pytest.raises(AssetError, match="is no IVF_FLAT"):
        LanceIVF.open(tmp_path, LanceOptions(index="IVF_FLAT"))


@pytest.mark.parametrize("change", [{"rows": 49}, {"dimension": 8}, {"dimension": None}, {"rows": "many"}, {"index": None}])
def test_a_description_that_is_not_true_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    filled(50).save(tmp_path)
    told = json.loads((tmp_path / "index.json").read_text())
    (tmp_path / "index.json").write_text(json.dumps(told | change))
    with pytest.raises(AssetError):
        LanceIVF.open(tmp_path, LanceOptions())


def test_a_data_set_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    filled(50).save(tmp_path)
    outside = tmp_path.parent / "outside.lance"
    (tmp_path / "rows.lance").rename(outside)
    (tmp_path / "rows.lance").symlink_to(outside)
    with pytest.raises(AssetError, match="no data set"):
        LanceIVF.open(tmp_path, LanceOptions())
    (tmp_path / "rows.lance").unlink()
    lance.dataset(str(outside)).shallow_clone(str(tmp_path / "rows.lance"), lance.dataset(str(outside)).version)
    with pytest.raises(AssetError, match="outside of its folder"):
        LanceIVF.open(tmp_path, LanceOptions())


@pytest.mark.parametrize("what", ["link", "pipe"])
def test_a_data_set_with_what_is_no_file_is_refused(what: str, tmp_path: Path) -> None:
    filled(50).save(tmp_path)
    file = next((tmp_path / "rows.lance/data").iterdir())
    file.rename(tmp_path / "kept")
    file.symlink_to(tmp_path / "kept") if what == "link" else os.mkfifo(file)
    with pytest.raises(AssetError, match="no ordinary file"):
        LanceIVF.open(tmp_path, LanceOptions())


def test_a_data_set_of_other_columns_is_refused(tmp_path: Path) -> None:
    (tmp_path / "index.json").write_text('{"index": "IVF_PQ", "rows": 2, "dimension": 16, "segments": 0, "unindexed": 2}')
    lance.write_dataset(pa.table({"key": [1, 2], "word": ["a", "b"]}), str(tmp_path / "rows.lance"))
    with pytest.raises(AssetError, match="other columns"):
        LanceIVF.open(tmp_path, LanceOptions())


def test_what_cannot_be_written_says_where_there_must_be_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index, empty = filled(50), LanceIVF(LanceOptions())

    def full(*args: object, **more: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(lance, "write_dataset", full)
    with pytest.raises(ComponentError, match="No space left on device") as caught:
        index.add(Entries(keys(2, 50), vectors(2)))
    assert "TMPDIR" in caught.value.fix
    assert index.size == 50
    with pytest.raises(ComponentError, match="No space left on device"):
        empty.add(Entries(keys(2), vectors(2)))
    empty.save(tmp_path)
    assert LanceIVF.open(tmp_path, LanceOptions()).size == 0


# --- keys ---


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_known_keys_are_a_set(data: st.DataObject) -> None:
    number = st.integers(-(2**63), 2**63 - 1) | st.integers(-20, 20)
    there = set(data.draw(st.lists(number, max_size=5)))
    known = KnownKeys(np.array(list(there), np.int64))
    for _ in range(data.draw(st.integers(0, 8))):
        new = set(data.draw(st.lists(number, max_size=6))) - there
        known.add(np.array(list(new), np.int64))
        gone = data.draw(st.lists(number, max_size=3))
        known.remove(np.array(gone, np.int64))
        there = (there | new) - set(gone)
        for asked_of in (data.draw(st.lists(number, max_size=4)), sorted(there)[:1]):
            assert known.any_of(np.array(asked_of, np.int64)) == bool(there & set(asked_of))
