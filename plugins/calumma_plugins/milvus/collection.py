"""milvus/collection: keys and vectors in a collection of Milvus (Wang et al. 2021, doi:10.1145/3448016.3457550)."""

from __future__ import annotations

import re
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from pymilvus import DataType, MilvusClient

from calumma.documents import IntArray
from calumma.errors import AssetError, CalummaError, ComponentError, InputError
from calumma.interfaces import Entries, Hits, Query, Retriever, RetrieverCapability, Vectors
from calumma.interfaces import Options as OptionsBase
from calumma_plugins.milvus import files
from calumma_plugins.milvus.options import MilvusOptions
from calumma_plugins.milvus.server import Server

MOST = 16_384  # documents that Milvus gives for one question
KEYS_AT_ONCE = 8192  # in one filter
FEW = 1000  # keys whose vectors are fetched rather than searched
QUERIES_AT_ONCE = 100
PATIENCE = 20  # how many times as long writing and loading may take as an answer
NAME = re.compile(r"calumma_[0-9a-f]{32}\Z")
STRONG = {"consistency_level": "Strong"}  # what was added is found


class MilvusCollection(Retriever):
    """Embedded by default (Milvus Lite, in this process and its temporary files, for up to a million rows), or of a cluster.

    The folder of a saved index holds Milvus Lite's files, copied when it is opened; for a cluster, only which collection it
    is. A collection belongs to one folder: an opened or saved index that is changed, or saved again, is copied first, row by
    row through this process. A collection that no folder names goes when this object does; `drop` drops the others.

    A filter (`only`) takes a search for each 8,192 of its keys. Milvus gives at most 16,384 documents for a question, excluded
    ones included.
    """

    Options = MilvusOptions
    options: MilvusOptions
    capabilities: frozenset[RetrieverCapability] = frozenset({"deletes", "filters", "grows", "remote"})
    known: ClassVar[dict[str, MilvusOptions]] = {}  # clusters that options named; `drop` goes to no others

    def __init__(self, options: MilvusOptions) -> None:
        super().__init__(options)
        if options.uri is not None:
            self.known[_address(options.uri, options.database)] = options
        self._server = Server(options)
        self._collection: str | None = None  # None while there were no rows
        self._own = True  # whether no saved index names it
        self._size = 0
        self._dimension: int | None = None
        self._unflushed = False
        self._loaded: Any = None  # the client that the collection was loaded by
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        return self._size

    # --- growing and shrinking ---

    def add(self, entries: Entries) -> None:
        keys, vectors = self.rows_of(entries, self._dimension, np.zeros(0, np.int64))
        if not len(keys):
            return
        if self._size and any(self._rows(_filter(part), ["key"]) for part in _parts(keys, KEYS_AT_ONCE)):
            raise InputError("A key was added twice.", "Remove it first.")
        name = self._changeable(vectors.shape[1])
        try:
            self._insert(name, keys, vectors)
        except CalummaError:
            with suppress(CalummaError):
                self._delete(name, keys)
            raise
        self._size += len(keys)

    def _insert(self, name: str, keys: IntArray, vectors: Vectors) -> None:
        client, self._unflushed = self._server.client(), True
        for start in range(0, len(keys), self.options.batch):
            part = slice(start, start + self.options.batch)
            rows = [{"key": key, "vector": vector} for key, vector in zip(keys[part].tolist(), vectors[part], strict=True)]
            with self._server.answering():
                client.insert(name, rows, timeout=self.options.timeout)

    def remove(self, keys: IntArray) -> None:
        if not self._size or not len(keys):
            return
        assert self._dimension is not None
        name = self._changeable(self._dimension)
        self._delete(name, np.unique(keys))
        self._size = self._count(name)

    def _delete(self, name: str, keys: IntArray) -> None:
        client, self._unflushed = self._server.client(), True
        for part in _parts(keys, KEYS_AT_ONCE):
            with self._server.answering():
                client.delete(name, filter=_filter(part), timeout=self.options.timeout)

    def _changeable(self, dimension: int) -> str:
        """The collection, made or copied where there is none that is this object's own."""
        if self._collection is None or not self._own:
            new = self._made(dimension)
            if self._collection is not None:
                self._copy(self._collection, new)
            self._collection, self._own, self._dimension = new, True, dimension
        return self._collection

    def _made(self, dimension: int) -> str:
        """A new collection, indexed and loaded while it is empty."""
        client, name = self._server.client(), f"calumma_{uuid.uuid4().hex}"
        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("key", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dimension)
        params = MilvusClient.prepare_index_params()
        built = {"params": self._build_params()}  # so nested both Milvus and Milvus Lite read them
        params.add_index("vector", index_type=self._index_type(), metric_type="IP", params=built)
        with self._server.answering():
            client.create_collection(name, schema=schema, timeout=self.options.timeout, **STRONG)
            if self._server.uri is not None:
                self._server.unsaved.add(name)
            client.create_index(name, params, timeout=self.options.timeout, sync=False)
            client.load_collection(name, timeout=PATIENCE * self.options.timeout)
        self._loaded = client
        return name

    def _build_params(self) -> dict[str, int]:
        if self.options.index == "HNSW":
            return {"M": self.options.M, "efConstruction": self.options.ef_construction}
        return {"nlist": self.options.nlist} if self.options.index == "IVF_FLAT" else {}

    def _copy(self, old: str, new: str) -> None:
        client = self._server.client()
        with self._server.answering():
            rows = client.query_iterator(
                old, batch_size=self.options.batch, filter="", output_fields=["key", "vector"], timeout=self.options.timeout
            )
            while part := rows.next():
                keys, vectors = np.array([one["key"] for one in part]), np.array([one["vector"] for one in part], np.float32)
                self._insert(new, keys, vectors)
            rows.close()

    # --- searching ---

    def search(self, queries: Sequence[Query], k: int) -> Hits:
        vectors = self.vectors_of(queries, self._dimension)
        found: list[tuple[IntArray, Vectors]] = [(np.zeros(0, np.int64), np.zeros(0, np.float32))] * len(queries)
        together: dict[int, list[int]] = {}
        for i, query in enumerate(queries if self._size and k > 0 else ()):
            if query.only is None:
                together.setdefault(len(np.unique(query.exclude)), []).append(i)
            else:
                only = np.setdiff1d(query.only, query.exclude)
                found[i] = _joined([self._among(vectors[i], k, part) for part in _parts(only, KEYS_AT_ONCE)])
        for excluded, places in together.items():
            for part in _parts(np.array(places), QUERIES_AT_ONCE):
                for i, (keys, scores) in zip(part.tolist(), self._nearest(vectors[part], k + excluded), strict=True):
                    kept = ~np.isin(keys, queries[i].exclude)
                    found[i] = keys[kept], scores[kept]
        return Hits.of(found, max(k, 0))

    def _among(self, vector: Vectors, k: int, allowed: IntArray) -> tuple[IntArray, Vectors]:
        """Keys and inner products of the k best of some keys; of few, and where a graph finds too few, by looking at all."""
        self._ready(searching=True)
        if len(allowed) > FEW:
            ((keys, scores),) = self._nearest(vector[None], min(k, len(allowed)), _filter(allowed))
            if len(keys) >= min(k, len(allowed)):
                return keys, scores
        rows = self._rows(_filter(allowed), ["key", "vector"])
        if not rows:
            return np.zeros(0, np.int64), np.zeros(0, np.float32)
        return np.array([one["key"] for one in rows]), np.array([one["vector"] for one in rows], np.float32) @ vector

    def _nearest(self, vectors: Vectors, wanted: int, only: str = "") -> list[tuple[IntArray, Vectors]]:
        """Keys and inner products of the nearest of each query."""
        wanted = min(wanted, self._size)
        if wanted > MOST:
            raise InputError(
                f"k and the excluded keys ask Milvus for {wanted:,} documents, and it gives at most {MOST:,}.",
                "Ask for fewer, or exclude fewer.",
            )
        client = self._ready(searching=True)
        one_by_one = self._lock if self._server.uri is None else nullcontext()  # Milvus Lite sets ef and nprobe for all threads
        with self._server.answering(), one_by_one:
            answers = client.search(
                self._collection,
                data=list(vectors),
                anns_field="vector",
                filter=only,
                limit=wanted,
                output_fields=["key"],
                search_params={"metric_type": "IP", "params": self._search_params(wanted)},
                timeout=self.options.timeout,
                **STRONG,
            )
            return [(np.array(one.ids, np.int64), np.array(one.distances, np.float32)) for one in answers]

    def _search_params(self, wanted: int) -> dict[str, int]:
        if self.options.index == "IVF_FLAT":
            return {"nprobe": min(self.options.nprobe, self.options.nlist)}
        return {"ef": max(self.options.ef_search, wanted)} if self.options.index == "HNSW" else {}

    def _rows(self, only: str, fields: list[str]) -> Any:
        client = self._ready()
        with self._server.answering():
            return client.query(self._collection, filter=only, output_fields=fields, timeout=self.options.timeout, **STRONG)

    def _count(self, name: str) -> int:
        client = self._ready()
        with self._server.answering():
            (told,) = client.query(name, filter="", output_fields=["count(*)"], timeout=self.options.timeout, **STRONG)
            return int(told["count(*)"])

    def _ready(self, searching: bool = False) -> Any:
        """The client, the collection loaded; Milvus Lite writes what was added before it is searched: else that takes long."""
        with self._lock:
            if searching and self._unflushed and self._server.uri is None:
                self._settle(stop=self._index_type() != "FLAT")
            client = self._server.client()
            if client is not self._loaded:
                with self._server.answering():
                    client.load_collection(self._collection, timeout=PATIENCE * self.options.timeout)
                self._loaded = client
        return client

    def _settle(self, stop: bool) -> None:
        """Everything is written. Milvus Lite builds its indexes beside the searches; when it is stopped it has built them."""
        client = self._server.client()
        with self._server.answering():
            client.flush(self._collection, timeout=PATIENCE * self.options.timeout)
        self._unflushed = False
        if stop:
            self._server.pause()

    def _index_type(self) -> str:
        """What Milvus is told: where the choice is left to it, Milvus Lite looks at all rows."""
        return "FLAT" if self.options.index == "AUTOINDEX" and self._server.uri is None else self.options.index

    # --- on disk ---

    def save(self, folder: Path) -> None:
        if self._collection is not None:
            if self._server.uri is not None and not self._own:
                assert self._dimension is not None
                self._changeable(self._dimension)
            self._settle(stop=self._server.uri is None)
        told = {
            "uri": self._server.uri,
            "database": self.options.database,
            "collection": self._collection,
            "index": self.options.index,
            "rows": self._size,
            "dimension": self._dimension,
        }
        lite = self._collection is not None and self._server.uri is None
        files.write(folder, told, self._server.home if lite else None)
        if self._server.uri is not None and self._collection is not None:
            self._own = False
            self._server.unsaved.discard(self._collection)

    @classmethod
    def open(cls, folder: Path, options: OptionsBase) -> Self:
        assert isinstance(options, MilvusOptions)
        told, opened = files.read(folder), cls(options)
        if (told["uri"], told["database"]) != (options.uri, options.database):
            raise AssetError(
                f"The index in {folder} is in {told['uri'] or 'Milvus Lite'}; the options say {options.uri or 'Milvus Lite'}.",
                "Build it again, or correct `uri` and `database`.",
            )
        if told["index"] != options.index:
            raise AssetError(f"The index in {folder} is no {options.index}.", "Build it again.")
        opened._collection, opened._size, opened._dimension = told["collection"], told["rows"], told["dimension"]
        if opened._collection is not None:
            if options.uri is None:
                files.copy_database(folder, told, opened._server.home)
            opened._check(folder)
        return opened

    def _check(self, folder: Path) -> None:
        """Loads the collection. Raises AssetError where it is not there, or has other rows than were saved."""
        client, name = self._server.client(), self._collection
        assert name is not None
        self._own = self._server.uri is None
        with self._server.answering():
            there = _is_ours(client, name, self.options)
        if not there or self._count(name) != self._size:
            raise AssetError(f"{self._server.name} does not hold the rows that {folder} names.", "Build the index again.")

    @classmethod
    def drop(cls, folder: Path) -> None:
        """Drops the collection of a cluster. Raises ComponentError: nobody answers, or no options of this process name it."""
        told = files.read(folder)
        if told["uri"] is None or told["collection"] is None:
            return
        options = cls.known.get(_address(told["uri"], told["database"]))
        if options is None:
            raise ComponentError(
                f"The collection {told['collection']} of Milvus at {told['uri']} is not dropped: "
                "a folder alone does not decide where this program connects.",
                "Name that `uri` in the options of a milvus/collection, or drop it yourself.",
            )
        server = Server(options)
        try:
            with server.answering():
                if _is_ours(server.client(), told["collection"], options):
                    server.client().drop_collection(told["collection"], timeout=options.timeout)
        finally:
            server.close()

    def close(self) -> None:
        self._server.close()


def _address(uri: str, database: str) -> str:
    return f"{uri.rstrip('/')} {database}"


def _is_ours(client: Any, name: str, options: MilvusOptions) -> bool:
    """Whether there is a collection of that name, and Calumma made it: a folder may name any."""
    if not NAME.match(name) or not client.has_collection(name, timeout=options.timeout):
        return False
    fields = client.describe_collection(name, timeout=options.timeout)["fields"]
    return {field["name"] for field in fields} == {"key", "vector"}


def _filter(keys: IntArray) -> str:
    """A filter that allows these keys. The smallest integer cannot be written: it is minus a number that is too large."""
    least = np.iinfo(np.int64).min
    others = [str(key) for key in keys.tolist() if key != least]
    terms = [f"key in [{', '.join(others)}]"] * bool(others) + [f"key < {least + 1}"] * (len(others) < len(keys))
    return " or ".join(terms)


def _parts(keys: IntArray, most: int) -> Iterator[IntArray]:
    for start in range(0, len(keys), most):
        yield keys[start : start + most]


def _joined(parts: list[tuple[IntArray, Vectors]]) -> tuple[IntArray, Vectors]:
    keys, scores = [np.zeros(0, np.int64)], [np.zeros(0, np.float32)]
    for found, products in parts:
        keys.append(found)
        scores.append(products)
    return np.concatenate(keys), np.concatenate(scores)
