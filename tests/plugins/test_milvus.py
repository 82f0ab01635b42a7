"""milvus/collection: Milvus Lite runs for real, and a server of it stands for a cluster, which is reached by its address."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from milvus_lite.adapter.grpc.server import start_server_in_thread
from pydantic import ValidationError
from pymilvus import DataType, MilvusClient

from calumma.errors import AssetError, ComponentError, InputError
from calumma.extension import Catalog
from calumma.interfaces import Entries, Hits, Query
from calumma_plugins.fusion.rrf import RRF
from calumma_plugins.milvus.collection import MilvusCollection
from calumma_plugins.milvus.options import MilvusOptions

N, D = 400, 8
LEAST = -(2**63)


def vectors(n: int = N, seed: int = 0, dimension: int = D) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(n, dimension)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def keys(n: int = N, first: int = 0) -> np.ndarray:
    numbers = (np.arange(first, first + n) - 3) * 2**54
    return np.where(numbers == 0, LEAST, numbers).astype(np.int64)


def filled(n: int = N, **options: Any) -> MilvusCollection:
    index = MilvusCollection(MilvusOptions(**options))
    index.add(Entries(keys(n), vectors(n)))
    return index


def found(hits: Hits, row: int = 0) -> list[int]:
    return hits.keys[row, : hits.counts[row]].tolist()


def best(rows: np.ndarray, names: np.ndarray, query: np.ndarray, k: int = 10) -> list[int]:
    return names[np.argsort(-(rows @ query))[:k]].tolist()


def recall(index: MilvusCollection) -> float:
    queries = vectors(20, seed=9)
    hits = index.search([Query(vector=vector) for vector in queries], 10)
    return float(np.mean([np.isin(best(vectors(), keys(), one), found(hits, i)).mean() for i, one in enumerate(queries)]))


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server, database, port = start_server_in_thread(str(tmp_path_factory.mktemp("cluster")))
    yield f"http://127.0.0.1:{port}"
    server.stop(0)
    database.close()


@pytest.fixture
def there(address: str) -> Iterator[MilvusClient]:
    client = MilvusClient(address)
    yield client
    client.close()


# --- Milvus Lite ---


def test_milvus_lite_is_exact_by_default() -> None:
    index, queries = filled(), vectors(5, seed=9)
    hits = index.search([Query(vector=vector) for vector in queries], 10)
    for i, query in enumerate(queries):
        assert found(hits, i) == best(vectors(), keys(), query)
        np.testing.assert_allclose(hits.scores[i], np.sort(vectors() @ query)[::-1][:10], atol=1e-6)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"index": "HNSW", "M": 8, "ef_construction": 60, "ef_search": 100}, {"M": 8, "efConstruction": 60}),
        ({"index": "IVF_FLAT", "nlist": 6, "nprobe": 4}, {"nlist": 6}),
    ],
)
def test_milvus_is_told_how_to_build_and_to_search(options: dict[str, Any], told: dict[str, int]) -> None:
    index = filled(**options)
    described = index._server.client().describe_index(index._collection, "vector")
    assert described["index_type"] == options["index"]
    assert described["params"] == told
    assert recall(index) > 0.85
    coarse = filled(**options | {"nprobe": 1}) if "nprobe" in options else None
    assert coarse is None or recall(coarse) < 0.7


@pytest.mark.parametrize("index", ["FLAT", "HNSW"])
def test_a_filter_of_any_size_is_obeyed(index: str) -> None:
    collection, query = filled(index=index), vectors(1, seed=9)[0]
    others = np.arange(1, 9001)
    for allowed in (keys()[:5], keys()[:200], np.array([LEAST])):
        only = np.concatenate([allowed, others])
        np.random.default_rng(0).shuffle(only)
        hits = collection.search([Query(vector=query, only=only, exclude=allowed[:1])], 10)
        left = np.isin(keys(), allowed[1:])
        expected = best(vectors()[left], keys()[left], query)
        assert set(found(hits)) <= set(allowed[1:].tolist())
        assert len(found(hits)) == len(expected)
        assert np.isin(expected, found(hits)).sum() >= (0.8 if index == "HNSW" else 1) * len(expected)


def test_more_than_milvus_gives_is_refused_with_a_sentence() -> None:
    index = MilvusCollection(MilvusOptions(batch=8000))
    index.add(Entries(np.arange(16_500), vectors(16_500, dimension=2)))
    query = vectors(1, 5, 2)[0]
    with pytest.raises(InputError, match=r"ask Milvus for 16,400 documents, and it gives at most 16,384"):
        index.search([Query(vector=query, exclude=np.arange(16_000))], 400)
    hits = index.search([Query(vector=query, exclude=np.arange(16_000))], 384)
    assert (hits.keys[0, : hits.counts[0]] >= 16_000).all()


def test_rows_of_a_failed_addition_are_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    index, insert = filled(batch=10), MilvusCollection._insert

    def fails(self: MilvusCollection, name: str, new: np.ndarray, rows: np.ndarray) -> None:
        insert(self, name, new[:10], rows[:10])
        raise ComponentError("Milvus went away.", "Start it.")

    monkeypatch.setattr(MilvusCollection, "_insert", fails)
    with pytest.raises(ComponentError, match="went away"):
        index.add(Entries(keys(30, N), vectors(30, seed=2)))
    monkeypatch.undo()
    assert index.size == index._count(str(index._collection)) == N
    index.add(Entries(keys(30, N), vectors(30, seed=2)))
    assert index.size == N + 30


def test_one_folder_may_be_opened_twice_at_once(tmp_path: Path) -> None:
    filled(50).save(tmp_path)
    one, other = (MilvusCollection.open(tmp_path, MilvusOptions()) for _ in range(2))
    one.remove(keys()[:49])
    query = Query(vector=vectors()[0])
    assert found(one.search([query], 50)) == keys()[49:50].tolist()
    assert len(found(other.search([query], 50))) == 50


def test_temporary_files_go_with_the_index_or_when_it_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    index, closed = filled(20), filled(20)
    assert len(list(tmp_path.iterdir())) == 2
    closed.close()
    closed.close()
    with pytest.raises(ComponentError, match="was closed"):
        closed.search([Query(vector=vectors(1)[0])], 1)
    del index
    gc.collect()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["link", "other"])
def test_a_database_that_is_not_the_saved_one_is_refused(damage: str, tmp_path: Path) -> None:
    filled(20).save(tmp_path)
    file = next((tmp_path / "milvus").rglob("*.parquet"))
    if damage == "link":
        (tmp_path / "outside").write_bytes(file.read_bytes())
        file.unlink()
        file.symlink_to(tmp_path / "outside")
    else:
        file.with_name("more.parquet").write_bytes(file.read_bytes())
    with pytest.raises(AssetError, match="no ordinary file" if damage == "link" else "not those that were saved"):
        MilvusCollection.open(tmp_path, MilvusOptions())


# --- a cluster ---


def test_a_folder_says_which_collection_it_is_and_no_more(
    address: str, there: MilvusClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_TOKEN", "root:very-secret")
    index = filled(uri=address, token_variable="MY_TOKEN")
    index.save(tmp_path)
    (file,) = tmp_path.iterdir()
    assert json.loads(file.read_text()) == {
        "uri": address,
        "database": "default",
        "collection": index._collection,
        "index": "AUTOINDEX",
        "rows": N,
        "dimension": D,
    }
    assert "very-secret" not in f"{index!r} {index.options!r} {index.fingerprint()}"
    opened = MilvusCollection.open(tmp_path, index.options)
    assert recall(opened) > 0.9
    assert index._collection in there.list_collections()


def test_an_opened_collection_is_copied_before_it_changes(address: str, there: MilvusClient, tmp_path: Path) -> None:
    index = filled(uri=address, index="FLAT")
    index.save(tmp_path)
    opened, query = MilvusCollection.open(tmp_path, index.options), Query(vector=vectors()[0])
    opened.remove(keys()[:1])
    opened.add(Entries(keys(1, N), vectors()[:1]))
    assert opened._collection != index._collection
    assert found(opened.search([query], 1)) == keys(1, N).tolist()
    assert found(index.search([query], 1)) == keys(1).tolist()
    assert opened._count(str(opened._collection)) == N


def test_every_folder_has_a_collection_of_its_own(address: str, there: MilvusClient, tmp_path: Path) -> None:
    index = filled(uri=address)
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        index.save(tmp_path / name)
    MilvusCollection.drop(tmp_path / "one")
    with pytest.raises(AssetError, match="does not hold the rows"):
        MilvusCollection.open(tmp_path / "one", index.options)
    assert recall(MilvusCollection.open(tmp_path / "other", index.options)) > 0.9
    MilvusCollection.drop(tmp_path / "one")


def test_a_collection_that_was_not_saved_goes_with_its_index(address: str, there: MilvusClient, tmp_path: Path) -> None:
    index, closed, saved = (filled(20, uri=address) for _ in range(3))
    names = [str(one._collection) for one in (index, closed, saved)]
    saved.save(tmp_path)
    assert set(names) <= set(there.list_collections())
    del index, saved
    gc.collect()
    closed.close()
    assert set(names) & set(there.list_collections()) == {names[2]}


def test_a_forged_folder_drops_nothing_of_others(address: str, there: MilvusClient, tmp_path: Path) -> None:
    index = filled(20, uri=address)
    index.save(tmp_path)
    schema = MilvusClient.create_schema()
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=2)
    told = json.loads((tmp_path / "collection.json").read_text())
    for name in ("customers", f"calumma_{'0' * 32}"):
        there.create_collection(name, schema=schema)
        (tmp_path / "collection.json").write_text(json.dumps(told | {"collection": name}))
        MilvusCollection.drop(tmp_path)
        with pytest.raises(AssetError, match="does not hold the rows"):
            MilvusCollection.open(tmp_path, index.options)
        assert there.has_collection(name)
    (tmp_path / "collection.json").write_text(json.dumps(told | {"uri": "http://127.0.0.1:1"}))
    with pytest.raises(ComponentError, match="a folder alone does not decide where this program connects"):
        MilvusCollection.drop(tmp_path)
    with pytest.raises(AssetError, match=r"is in http://127\.0\.0\.1:1; the options say"):
        MilvusCollection.open(tmp_path, index.options)


def test_rows_that_somebody_removed_are_missed_when_it_is_opened(address: str, there: MilvusClient, tmp_path: Path) -> None:
    index = filled(20, uri=address)
    index.save(tmp_path)
    there.delete(str(index._collection), ids=[int(keys()[7])])
    with pytest.raises(AssetError, match="does not hold the rows"):
        MilvusCollection.open(tmp_path, index.options)


def test_a_fusion_drops_the_collections_of_its_parts(address: str, there: MilvusClient, tmp_path: Path) -> None:
    parts = ["exact/flat", {"use": "milvus/collection", "uri": address}]
    index = Catalog().build("retriever", "fusion/rrf", {"retrievers": parts})
    assert isinstance(index, RRF)
    index.add(Entries(keys(), vectors()))
    index.save(tmp_path)
    name = json.loads((tmp_path / "1/collection.json").read_text())["collection"]
    assert there.has_collection(name)
    RRF.drop(tmp_path)
    assert not there.has_collection(name)


def test_nobody_at_the_address_is_one_sentence_and_no_noise(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ComponentError, match=r"^Milvus at http://127\.0\.0\.1:1 does not answer as it should: .*\.$") as caught:
        filled(uri="http://127.0.0.1:1")
    assert "See that it runs" in caught.value.fix
    assert capfd.readouterr() == ("", "")


def test_a_cluster_that_goes_away_is_one_sentence(tmp_path: Path) -> None:
    server, database, port = start_server_in_thread(str(tmp_path))
    index = filled(20, uri=f"http://127.0.0.1:{port}")
    server.stop(0)
    database.close()
    for call in (
        lambda: index.search([Query(vector=vectors(1)[0])], 1),
        lambda: index.add(Entries(keys(1, N), vectors(1))),
        lambda: index.remove(keys()[:1]),
    ):
        with pytest.raises(ComponentError, match="does not answer as it should"):
            call()
    index.close()


def test_what_milvus_refuses_is_one_sentence_and_no_noise(capfd: pytest.CaptureFixture[str]) -> None:
    index = filled(20)
    with pytest.raises(ComponentError, match=r"^Milvus Lite does not answer as it should: .*\.$"):
        index._rows("key in [", ["key"])
    assert capfd.readouterr() == ("", "")


def test_a_token_is_named_and_never_written() -> None:
    with pytest.raises(ComponentError, match="The environment variable NO_SUCH_TOKEN, which should hold the token"):
        filled(uri="http://127.0.0.1:1", token_variable="NO_SUCH_TOKEN")
    for wrong in ("http://root:secret@127.0.0.1:19530", "127.0.0.1:19530", "ftp://host", "http://"):
        with pytest.raises(ValidationError):
            MilvusOptions(uri=wrong)
    with pytest.raises(ValidationError):
        MilvusOptions.model_validate({"token": "root:secret"})
