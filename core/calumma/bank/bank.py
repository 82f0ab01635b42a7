"""The bank: documents with string ids outside and int64 row keys inside, and their vectors, in a Lance dataset."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from calumma.bank.embedder import check_embedder, embedder_of
from calumma.bank.filters import keys_where
from calumma.bank.indexes import ready_index
from calumma.bank.opening import open_dataset, reading
from calumma.bank.scanning import nearest
from calumma.bank.schema import BankInfo, check_columns, require, vectors_of
from calumma.bank.tokens import token_columns, tokens_of
from calumma.documents import Document, Image, IntArray, Pixels, Text
from calumma.documents.pictures import read_picture
from calumma.errors import BankError, InputError
from calumma.interfaces import Embedder, Entries, Hits, Query, Retrieved, Retriever, VectorPart, Vectors, normalised

if TYPE_CHECKING:
    import pyarrow

SPARE = 16
BLOCK = 65_536  # rows
KEEP_BYTES = 2**30  # of vectors that exact search keeps in memory


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
        self._where: dict[str, IntArray] = {}
        self._small: list[Entries] | None = None

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

    def versions(self) -> list[dict[str, Any]]:
        """Each version that is left, the oldest first: its number, when it was written (ISO 8601) and how many documents."""
        with reading(self.name):
            found = []
            for one in self.dataset.versions():
                number = int(one["version"])
                count = self.dataset.checkout_version(number).count_rows()
                found.append({"version": number, "written": one["timestamp"].isoformat(timespec="seconds"), "documents": count})
            return found

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

    def rows(self, keys: IntArray, columns: list[str]) -> pyarrow.Table:
        """Columns of row keys, in that order, as they are stored."""
        return self._take(keys, columns)

    def vectors(self, keys: IntArray, part: VectorPart) -> Vectors:
        """float32 [N, dimension] in the order of `keys`; zeros where a document lacks that part."""
        columns = ["text_vector", "image_vector"] if part == "document" else [f"{part}_vector"]
        return self._vectors(self._take(keys, columns))

    def entries(self, texts: bool = False) -> Entries:
        """All row keys with their documents' vectors, and their texts if asked for."""
        blocks = list(self.blocks(texts))
        if not blocks:
            return Entries(np.zeros(0, np.int64), np.zeros((0, self.dimension), np.float32), [] if texts else None)
        words = [text for block in blocks for text in block.texts or ()] if texts else None
        return Entries(np.concatenate([one.keys for one in blocks]), np.concatenate([one.vectors for one in blocks]), words)

    def blocks(self, texts: bool = False, keys: IntArray | None = None) -> Iterator[Entries]:
        """The same in blocks of at most 65,536 rows, read when asked for: of all rows, or of these keys in their order."""
        columns = ["key", "text_vector", "image_vector", *(["text"] if texts else [])]
        with reading(self.name):
            if keys is None:
                for batch in self.dataset.to_batches(columns=columns, batch_size=BLOCK):
                    yield self._entries(require("pyarrow").Table.from_batches([batch]), texts)
            else:
                for start in range(0, len(keys), BLOCK):
                    yield self._entries(self._take(keys[start : start + BLOCK], columns), texts)

    def keys_where(self, where: str) -> IntArray:
        """Row keys of the documents for which a condition holds, such as `style = 'noto'`. Raises InputError."""
        if where not in self._where:
            with reading(self.name):
                self._where = {where: keys_where(self.dataset, where)}
        return self._where[where]

    def check_embedder(self, embedder: Embedder) -> None:
        """Raises MismatchError unless the bank's vectors are this embedder's."""
        check_embedder(self.name, self.info.embedder, embedder)

    def index(self, retriever: Retriever) -> Retriever:
        """The retriever with this bank's documents in it: kept from last time, or built now and kept.

        Kept in the bank's folder, or in $CALUMMA_CACHE where that cannot be written; one that is damaged is built again.
        """
        key = retriever.fingerprint()
        if key not in self._indexes:
            self._indexes[key] = ready_index(self, retriever)
        return self._indexes[key]

    def close(self) -> None:
        """Closes the indexes that were opened; asked again, they are opened again."""
        while self._indexes:
            self._indexes.popitem()[1].close()

    def retrieve(self, queries: Sequence[Query], k: int, retriever: Retriever | None = None) -> list[Hits]:
        """The k best of each query (one Hits with Q = 1 each), without what it excludes and what its filter leaves out.

        Inner products are scored exactly from the stored vectors; the order of a retriever with another metric is kept.

        Args:
            queries: with vectors, unless the retriever matches words.
            retriever: as configured, or what `index` gave; None looks at every document.

        Raises:
            InputError: a query lacks what is needed, or its filter cannot be understood.
            ComponentError: it has a filter, and the retriever cannot filter.
        """
        resolved = [self._resolved(query) for query in queries]
        if not resolved:
            return []
        if retriever is not None and not retriever.accepts:
            return [Hits.of([(np.zeros(0, np.int64), np.zeros(0, np.float32))], k) for _ in queries]
        spare = SPARE + max(len(query.exclude) for query in resolved)
        if retriever is None:
            found = nearest(self._kept_blocks, resolved, k + spare)
        else:
            index = self.index(retriever)
            if index.metric != "inner product":
                return [_row(index.search(resolved, k), i) for i in range(len(resolved))]
            found = index.search(resolved, candidates(index, k))
        return self.rescored(resolved, found, k)

    def rescore(self, query: Query, hits: Hits, k: int) -> Hits:
        """Hits (Q = 1) with exact float32 scores from the stored vectors, best first, ties by key, at most k."""
        return self.rescored([query], hits, k)[0]

    def rescored(self, queries: Sequence[Query], hits: Hits, k: int) -> list[Hits]:
        """The same for several queries: one Hits each."""
        asked = np.unique(hits.keys[hits.scores > -np.inf])
        vectors = self.vectors(asked, "document").astype(np.float64) if len(asked) else np.zeros((0, self.dimension))
        rescored = []
        for i, query in enumerate(queries):
            keys, scores = hits.keys[i, : hits.counts[i]], hits.scores[i, : hits.counts[i]]
            allowed = ~np.isin(keys, query.exclude)
            keys, scores = keys[allowed], scores[allowed]
            if query.vector is not None and len(keys):
                products = vectors[np.searchsorted(asked, keys)] * query.vector
                scores = products.sum(axis=1).astype(np.float32)  # each row alone, so that other hits never change its last bit
            rescored.append(Hits.of([(keys, scores)], k))
        return rescored

    def search(
        self,
        text: str | None = None,
        k: int = 5,
        *,
        image: Pixels | None = None,
        vector: Vectors | None = None,
        where: str | None = None,
        retriever: Retriever | None = None,
        embedder: Embedder | None = None,
    ) -> list[Retrieved]:
        """The k nearest documents to a text, a picture, the mean of both, or a vector of the bank's own space, best first.

        Args:
            vector: [dimension], scaled to length 1 here; instead of a text and a picture.
            where: a condition on metadata, such as `style = 'noto'`.
            embedder: None builds the one that the bank was made with.

        Raises:
            InputError: nothing was asked, or the filter cannot be understood. MismatchError: the embedder is not the bank's.
        """
        if not text and image is None and vector is None:
            raise InputError("There is nothing to search for.", "Give a text or a picture.")
        if vector is not None:
            if text or image is not None:
                raise InputError("A vector stands for itself.", "Give a vector, or a text and a picture.")
            if np.shape(vector) != (self.dimension,) or not np.isfinite(vector).all() or not np.any(vector):
                raise InputError(f"The vector is not {self.dimension} finite numbers.", "Give one of the bank's own embedder.")
            vector = normalised(np.asarray(vector, np.float32))
        elif retriever is None or "vector" in retriever.accepts:
            if embedder is None:
                embedder = self._embedder
            self.check_embedder(embedder)
            parts = (Text(text),) if text else ()
            asked = Document((*parts, Image(image)) if image is not None else parts)
            vector = embedder.embed_documents([asked])[0]
        (hits,) = self.retrieve([Query(vector, text, image, where=where)], k, retriever)
        keys, scores = hits.keys[0, : hits.counts[0]].tolist(), hits.scores[0].tolist()
        name = "text" if text else "image" if image is not None else "vector"
        return [Retrieved(one, key, score, name) for one, key, score in zip(self.documents(keys), keys, scores, strict=False)]

    def _resolved(self, query: Query) -> Query:
        """The query with its filter as keys."""
        if query.where is None:
            return query
        keys = self.keys_where(query.where)
        return replace(query, only=keys if query.only is None else np.intersect1d(keys, query.only))

    @property
    def _kept_blocks(self) -> Iterable[Entries]:
        """All rows: from memory where they are few, else read anew."""
        if len(self) * self.dimension * 4 > KEEP_BYTES:
            return self.blocks()
        if self._small is None:
            self._small = list(self.blocks())
        return self._small

    @cached_property
    def _embedder(self) -> Embedder:
        return embedder_of(self.info.embedder)

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

    def _entries(self, table: pyarrow.Table, texts: bool) -> Entries:
        words = [one or "" for one in table["text"].to_pylist()] if texts else None
        return Entries(np.asarray(table["key"].to_numpy(), np.int64), self._vectors(table), words)

    def _vectors(self, table: pyarrow.Table) -> Vectors:
        columns = [name for name in table.column_names if name.endswith("_vector")]
        parts = [vectors_of(table[name], self.dimension) for name in columns]
        return normalised(parts[0] + parts[1]) if len(parts) == 2 else parts[0]


def candidates(index: Retriever, k: int) -> int:
    """How many hits an index is asked for where k are wanted; they are scored exactly, and even exact engines round."""
    return k + (SPARE if index.exact else k + SPARE)


def _document(row: Mapping[str, Any], tokens: Mapping[str, IntArray]) -> Document:
    parts: tuple[Text | Image, ...] = (Text(row["text"]),) if row["text"] else ()
    if row["image"] is not None:
        parts += (Image(read_picture(row["image"], row["id"]), tokens),)
    return Document(parts, row["id"], json.loads(row["metadata"] or "{}"))


def _row(hits: Hits, i: int) -> Hits:
    return Hits(hits.keys[i : i + 1], hits.scores[i : i + 1], hits.counts[i : i + 1])
