"""exact/flat: every vector scored, block by block. Ties go to the smaller key."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
from numpy.lib.format import open_memmap

from calumma.documents import IntArray
from calumma.errors import AssetError
from calumma.interfaces import Entries, Hits, Query, Retriever, RetrieverCapability, Vectors
from calumma.interfaces import Options as OptionsBase
from calumma_plugins.exact.options import FlatOptions


class Flat(Retriever):
    """Keys and vectors side by side; a saved index is mapped into memory, not read."""

    Options = FlatOptions
    options: FlatOptions
    capabilities: frozenset[RetrieverCapability] = frozenset({"deletes", "grows", "maps memory"})
    exact = True

    def __init__(self, options: FlatOptions) -> None:
        super().__init__(options)
        self._keys: IntArray = np.zeros(0, np.int64)
        self._vectors: Vectors | None = None

    @property
    def size(self) -> int:
        return len(self._keys)

    @property
    def _dimension(self) -> int | None:
        return None if self._vectors is None else int(self._vectors.shape[1])

    def add(self, entries: Entries) -> None:
        keys, vectors = self.rows_of(entries, self._dimension, self._keys)
        if len(keys):
            self._vectors = vectors.copy() if self._vectors is None else np.concatenate([self._vectors, vectors])
            self._keys = np.concatenate([self._keys, keys])

    def remove(self, keys: IntArray) -> None:
        if self._vectors is not None:
            kept = ~np.isin(self._keys, keys)
            self._keys, self._vectors = self._keys[kept], self._vectors[kept]

    def search(self, queries: Sequence[Query], k: int) -> Hits:
        return Hits.of([self._best(query, k) for query in queries], k)

    def _best(self, query: Query, k: int) -> tuple[IntArray, Vectors]:
        vector = self.vector_of(query, self._dimension)
        keys, scores = np.zeros(0, np.int64), np.zeros(0, np.float32)
        if self._vectors is None or k < 1:
            return keys, scores
        for start in range(0, self.size, self.options.block):
            block = slice(start, start + self.options.block)
            keys = np.concatenate([keys, self._keys[block]])
            scores = np.concatenate([scores, self._vectors[block] @ vector])
            allowed = ~np.isin(keys, query.exclude)
            keys, scores = keys[allowed], scores[allowed]
            if len(scores) > k:
                kept = scores >= np.partition(scores, -k)[-k]  # ties with the last stay, until keys decide
                keys, scores = keys[kept], scores[kept]
        return keys, scores

    def save(self, folder: Path) -> None:
        np.save(folder / "keys.npy", self._keys)
        np.save(folder / "vectors.npy", np.zeros((0, 0), np.float32) if self._vectors is None else self._vectors)

    @classmethod
    def open(cls, folder: Path, options: OptionsBase) -> Self:
        assert isinstance(options, FlatOptions)
        index = cls(options)
        try:
            keys, vectors = (open_memmap(folder / name, mode="r") for name in ("keys.npy", "vectors.npy"))
        except Exception as error:  # of a damaged header NumPy raises many kinds
            raise AssetError(f"{folder} holds no index of exact/flat.", "Build it again.") from error
        kinds = keys.dtype == np.int64 and vectors.dtype == np.float32
        if not kinds or (keys.ndim, vectors.ndim) != (1, 2) or len(keys) != len(vectors):
            raise AssetError(f"The index in {folder} is damaged.", "Build it again.")
        index._keys, index._vectors = np.array(keys), vectors if len(keys) else None
        return index
