"""Two retrievers in a few lines: one by vector that does all that a retriever can, one by words that does the least."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np

from calumma.documents import IntArray
from calumma.errors import AssetError, ComponentError, InputError
from calumma.interfaces import Entries, Hits, Options, Query, Retriever, RetrieverCapability, RetrieverMetric, Vectors


class DotRetriever(Retriever):
    """Looks at every vector."""

    capabilities: frozenset[RetrieverCapability] = frozenset({"deletes", "filters", "grows"})
    exact = True

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.keys: IntArray = np.zeros(0, np.int64)
        self.vectors: Vectors = np.zeros((0, 0), np.float32)

    @property
    def size(self) -> int:
        return len(self.keys)

    @property
    def dimension(self) -> int | None:
        return self.vectors.shape[1] or None

    def add(self, entries: Entries) -> None:
        keys, vectors = self.rows_of(entries, self.dimension, self.keys)
        if len(keys):
            self.keys = np.append(self.keys, keys)
            self.vectors = np.concatenate([self.vectors.reshape(-1, vectors.shape[1]), vectors])

    def remove(self, keys: IntArray) -> None:
        kept = ~np.isin(self.keys, keys)
        self.keys, self.vectors = self.keys[kept], self.vectors[kept]

    def search(self, queries: Sequence[Query], k: int) -> Hits:
        return Hits.of([self.answers(query) for query in queries], k)

    def answers(self, query: Query) -> tuple[IntArray, Vectors]:
        """Keys and scores of all that the query allows."""
        vector = self.vector_of(query, self.dimension)
        allowed = ~np.isin(self.keys, query.exclude)
        if query.only is not None:
            allowed &= np.isin(self.keys, query.only)
        rows = self.vectors.reshape(-1, len(vector))[allowed]
        return self.keys[allowed], (rows * vector).sum(axis=1)  # rows that are the same score the same

    def save(self, folder: Path) -> None:
        np.savez(folder / "rows.npz", keys=self.keys, vectors=self.vectors)

    @classmethod
    def open(cls, folder: Path, options: Options) -> Self:
        index = cls(options)
        try:
            with np.load(folder / "rows.npz") as rows:
                index.keys, index.vectors = rows["keys"], rows["vectors"]
        except Exception as error:  # zipfile and numpy raise a dozen sorts of error over damaged files
            raise AssetError(f"{folder} holds no index.", "Build it again.") from error
        return index


class WordRetriever(Retriever):
    """Finds the texts that share words with the query; the score is how many. It neither grows nor deletes."""

    accepts: frozenset[str] = frozenset({"text"})
    metric: RetrieverMetric = "bm25"  # of words that all weigh the same
    exact = True

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.words: dict[int, list[str]] = {}

    @property
    def size(self) -> int:
        return len(self.words)

    def add(self, entries: Entries) -> None:
        if self.words:
            raise ComponentError("A WordRetriever does not grow.", "Build it again.")
        if entries.texts is None or len(entries.texts) != len(entries.keys):
            raise InputError("A WordRetriever needs a text for every key.", "Give Entries.texts.")
        keys = [int(key) for key in entries.keys]
        if len(set(keys)) < len(keys):
            raise InputError("A key was added twice.", "Give each key once.")
        self.words = {key: sorted(set(text.split())) for key, text in zip(keys, entries.texts, strict=True)}

    def remove(self, keys: IntArray) -> None:
        raise ComponentError("A WordRetriever does not delete.", "Build it again.")

    def search(self, queries: Sequence[Query], k: int) -> Hits:
        return Hits.of([self.answers(query) for query in queries], k)

    def answers(self, query: Query) -> tuple[IntArray, Vectors]:
        """Keys and scores of the texts that share a word."""
        if query.text is None:
            raise InputError("A WordRetriever searches by text, and the query has none.", "Ask by text.")
        self.check_filter(query)
        asked, excluded = set(query.text.split()), set(query.exclude.tolist())
        shared = {key: len(asked & set(words)) for key, words in self.words.items() if key not in excluded}
        hits = {key: count for key, count in shared.items() if count}
        return np.array(list(hits), np.int64), np.array(list(hits.values()), np.float32)

    def save(self, folder: Path) -> None:
        (folder / "words.json").write_text(json.dumps([[key, words] for key, words in self.words.items()]), encoding="utf-8")

    @classmethod
    def open(cls, folder: Path, options: Options) -> Self:
        index = cls(options)
        try:
            rows = json.loads((folder / "words.json").read_text(encoding="utf-8"))
            index.words = {int(key): [str(word) for word in words] for key, words in rows}
        except (OSError, ValueError, TypeError) as error:
            raise AssetError(f"{folder} holds no index of words.", "Build it again.") from error
        return index
