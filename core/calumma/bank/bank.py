"""The bank: documents with string ids outside and int64 row keys inside, and their vectors, in a Lance dataset."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from calumma.bank.embedder import embedder_of
from calumma.bank.indexes import ready_index
from calumma.bank.opening import open_dataset, reading
from calumma.bank.schema import BankInfo, check_columns, vectors_of
from calumma.bank.tokens import token_columns, tokens_of
from calumma.documents import Document, Image, IntArray, Pixels, Text
from calumma.documents.pictures import read_picture
from calumma.errors import BankError, InputError, MismatchError
from calumma.interfaces import Embedder, Entries, Hits, Query, Retrieved, Retriever, VectorPart, Vectors, normalised

if TYPE_CHECKING:
    import pyarrow

SPARE = 16


class Bank:
    """One version of a bank, as it was when it was opened. Nothing here changes it.

    >>> for one in calumma.Bank.open("animals.bank").search("a red fish", k=3):
    ...     print(one.score, one.document.text)

    Attributes:
        path: its folder. name: what it is called in records and errors.
        info: what it says of itself. version: of the dataset; each change makes a new one.
        dataset: the `lance.LanceDataset`, for what is not here.
    """

    def __init__(self, path: Path, dataset: Any, name: str | None = None) -> None:
        self.path, self.name = path, name or path.name
        with reading(self.name):
            self.info = BankInfo.load(dataset.schema.metadata, path)
            check_columns(dataset.schema, self.info, path)
        self.version = int(dataset.version)
        self.dataset = dataset
        self._indexes: dict[str, Retriever] = {}

    @classmethod
    def open(cls, path: str | Path, name: str | None = None, version: int | None = None) -> Bank:
        """Opens a bank, at its newest version unless told otherwise. Raises BankError where there is none."""
        path = Path(path).expanduser().absolute()
        dataset = open_dataset(path, version)
        return cls(path, dataset, name)

    def __len__(self) -> int:
        return len(self.keys)

    def __repr__(self) -> str:
        return f"<Bank {self.name} version {self.version}: {len(self)} documents by {self.fingerprint}>"

    @property
    def fingerprint(self) -> str:
        """Of the embedder whose vectors it holds."""
        return self.info.embedder.fingerprint

    @property
    def dimension(self) -> int:
        """Of its vectors."""
        return self.info.dimension

    @cached_property
    def keys(self) -> IntArray:
        """int64 [N], in the order of the dataset."""
        with reading(self.name):
            return np.asarray(self.dataset.to_table(columns=["key"])["key"].to_numpy(), np.int64)

    def record(self) -> dict[str, Any]:
        """What a result's record says of the bank it came from."""
        facts = {"name": self.name, "identity": self.info.identity, "version": self.version}
        return {**facts, "documents": len(self), "embedder": self.fingerprint}

    def facts(self) -> dict[str, Any]:
        """What `bank info` prints."""
        count = self.dataset.count_rows
        with reading(self.name):
            counts = {"texts": count(filter="text IS NOT NULL"), "images": count(filter="image IS NOT NULL")}
        more = {
            "dimension": self.dimension,
            "created": self.info.created,
            "source": self.info.source,
            "format": self.info.format,
        }
        return {"path": str(self.path), **self.record(), **counts, **more}

    def documents(self, keys: Sequence[int]) -> list[Document]:
        """Documents of row keys, in that order, pictures decoded. Raises BankError for a key that it does not have."""
        with reading(self.name):
            columns = token_columns(self.dataset.schema)
            table = self._take(keys, ["id", "text", "image", "metadata", *columns])
            return [_document(row, tokens_of(row, columns)) for row in table.to_pylist()]

    def ids(self, keys: Sequence[int]) -> list[str]:
        """String ids of row keys, in that order."""
        return [str(one) for one in self._take(keys, ["id"])["id"].to_pylist()]

    def keys_of(self, ids: Sequence[str]) -> IntArray:
        """Row keys of string ids, in that order. Raises BankError for an id that it does not have."""
        found = self._key_by_id
        for one in ids:
            if one not in found:
                raise BankError(f"The bank {self.name} has no document {one!r}.", "See `calumma bank search`.")
        return np.array([found[one] for one in ids], np.int64)

    def vectors(self, keys: IntArray, part: VectorPart) -> Vectors:
        """float32 [N, dimension] in the order of `keys`; zeros where a document lacks that part."""
        columns = ["text_vector", "image_vector"] if part == "document" else [f"{part}_vector"]
        return self._vectors(self._take(keys, columns))

    def entries(self, texts: bool = False) -> Entries:
        """All row keys with their documents' vectors, and their texts if asked for: what an index is built from."""
        columns = ["key", "text_vector", "image_vector", *(["text"] if texts else [])]
        with reading(self.name):
            table = self.dataset.to_table(columns=columns)
            words = [one or "" for one in table["text"].to_pylist()] if texts else None
            return Entries(np.asarray(table["key"].to_numpy(), np.int64), self._vectors(table), words)

    def check_embedder(self, embedder: Embedder) -> None:
        """Raises MismatchError unless the bank's vectors are this embedder's."""
        if embedder.fingerprint() != self.fingerprint:
            raise MismatchError(
                f"The bank {self.name} was embedded by {self.fingerprint}, not by {embedder.fingerprint()}.",
                "Build the bank again with this embedder, or pick the embedder it was made with.",
            )

    def index(self, retriever: Retriever) -> Retriever:
        """The retriever with this bank's documents in it: kept from last time, or built now and kept.

        Kept in the bank's folder, or in $CALUMMA_CACHE where that cannot be written; one that is damaged is built again.
        """
        key = retriever.fingerprint()
        if key not in self._indexes:
            self._indexes[key] = ready_index(self, retriever)
        return self._indexes[key]

    def retrieve(self, queries: Sequence[Query], k: int, retriever: Retriever | None = None) -> list[Hits]:
        """The k best of each query (one Hits with Q = 1 each), scored exactly, without what it excludes.

        Args:
            queries: with vectors, unless the retriever matches words.
            retriever: as configured, or what `index` gave; None looks at every document.
        """
        if any(query.where for query in queries):
            raise InputError("This bank cannot filter by metadata.", "Leave `where` out.")
        if retriever is None:
            entries = self._all
            rows = [(entries.keys, entries.vectors @ _vector(query)) for query in queries]
            wanted = [k + SPARE + len(query.exclude) for query in queries]
            found = [Hits.of([row], n) for row, n in zip(rows, wanted, strict=True)]
        elif retriever.accepts:
            index = self.index(retriever)
            spare = SPARE if index.exact else k + SPARE  # even exact engines round, and may miss a tie at the end
            found = [index.search([query], k + spare) for query in queries]
        else:
            found = [Hits.of([(np.zeros(0, np.int64), np.zeros(0, np.float32))], k) for _ in queries]
        return [self.rescore(query, hits, k) for query, hits in zip(queries, found, strict=True)]

    def rescore(self, query: Query, hits: Hits, k: int) -> Hits:
        """Hits (Q = 1) with exact float32 scores from the stored vectors, best first, ties by key, at most k."""
        keys, scores = hits.keys[0, : hits.counts[0]], hits.scores[0, : hits.counts[0]]
        allowed = ~np.isin(keys, query.exclude)
        keys, scores = keys[allowed], scores[allowed]
        if query.vector is not None and len(keys):
            products = self.vectors(keys, "document").astype(np.float64) * query.vector
            scores = products.sum(axis=1).astype(np.float32)  # each row alone, so that other hits never change its last bit
        return Hits.of([(keys, scores)], k)

    def search(
        self,
        text: str | None = None,
        k: int = 5,
        *,
        image: Pixels | None = None,
        retriever: Retriever | None = None,
        embedder: Embedder | None = None,
    ) -> list[Retrieved]:
        """The k nearest documents to a text, a picture, or the mean of both, best first.

        Args:
            embedder: None builds the one that the bank was made with.

        Raises:
            InputError: nothing was asked. MismatchError: the embedder is not the bank's.
        """
        if not text and image is None:
            raise InputError("There is nothing to search for.", "Give a text or a picture.")
        if embedder is None:
            embedder = self._embedder
        self.check_embedder(embedder)
        parts = (Text(text),) if text else ()
        asked = Document((*parts, Image(image)) if image is not None else parts)
        query = Query(embedder.embed_documents([asked])[0], text, image)
        (hits,) = self.retrieve([query], k, retriever)
        keys, scores = hits.keys[0, : hits.counts[0]].tolist(), hits.scores[0].tolist()
        name = "text" if text else "image"
        return [Retrieved(one, key, score, name) for one, key, score in zip(self.documents(keys), keys, scores, strict=False)]

    @cached_property
    def _embedder(self) -> Embedder:
        return embedder_of(self.info.embedder)

    @cached_property
    def _all(self) -> Entries:
        return self.entries()

    @cached_property
    def _key_by_id(self) -> Mapping[str, int]:
        with reading(self.name):
            table = self.dataset.to_table(columns=["key", "id"])
            return dict(zip(table["id"].to_pylist(), table["key"].to_pylist(), strict=True))

    @cached_property
    def _order(self) -> IntArray:
        return np.argsort(self.keys)

    def _take(self, keys: Sequence[int] | IntArray, columns: list[str]) -> pyarrow.Table:
        wanted, back = np.unique(np.asarray(keys, np.int64), return_inverse=True)
        found = np.searchsorted(self.keys, wanted, sorter=self._order).clip(max=max(0, len(self) - 1))
        rows = self._order[found] if len(self) else np.zeros(0, np.int64)
        if len(rows) < len(wanted) or (self.keys[rows] != wanted).any():
            raise BankError(f"The bank {self.name} does not have every row that was asked for.", "Open it again.")
        with reading(self.name):
            return self.dataset.take(rows, columns=columns).take(back)

    def _vectors(self, table: pyarrow.Table) -> Vectors:
        columns = [name for name in table.column_names if name.endswith("_vector")]
        parts = [vectors_of(table[name], self.dimension) for name in columns]
        return normalised(parts[0] + parts[1]) if len(parts) == 2 else parts[0]


def _document(row: Mapping[str, Any], tokens: Mapping[str, IntArray]) -> Document:
    parts: tuple[Text | Image, ...] = (Text(row["text"]),) if row["text"] else ()
    if row["image"] is not None:
        parts += (Image(read_picture(row["image"], row["id"]), tokens),)
    return Document(parts, row["id"], json.loads(row["metadata"] or "{}"))


def _vector(query: Query) -> Vectors:
    if query.vector is None:
        raise InputError("The query has no vector.", "Embed it first.")
    return query.vector
