"""hnswlib/hnsw: one thread and one seed build the same graph each time.

Labels are 0..n-1; `keys.npy` maps them to the bank's keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import hnswlib
import numpy as np
from numpy.lib.format import open_memmap

from calumma.documents import BoolArray, IntArray
from calumma.errors import AssetError
from calumma.interfaces import Entries, Hits, Query, Retriever, RetrieverCapability, Vectors
from calumma.interfaces import Options as OptionsBase
from calumma_plugins.hnswlib.checking import check_graph
from calumma_plugins.hnswlib.options import HNSWOptions

SEED = 100


class HNSW(Retriever):
    """Removed vectors stay in the graph as stepping stones and are never returned."""

    Options = HNSWOptions
    options: HNSWOptions
    capabilities: frozenset[RetrieverCapability] = frozenset({"deletes", "grows"})

    def __init__(self, options: HNSWOptions) -> None:
        super().__init__(options)
        self._keys: IntArray = np.zeros(0, np.int64)  # by label
        self._live: BoolArray = np.zeros(0, np.bool_)
        self._index: Any = None

    @property
    def size(self) -> int:
        return int(self._live.sum())

    @property
    def _dimension(self) -> int | None:
        return None if self._index is None else int(self._index.dim)

    def add(self, entries: Entries) -> None:
        added, vectors = self.rows_of(entries, self._dimension, self._keys[self._live])
        if not len(added):
            return
        start, end = len(self._keys), len(self._keys) + len(added)
        if self._index is None:
            self._index = hnswlib.Index(space="ip", dim=vectors.shape[1])
            self._index.init_index(end, M=self.options.M, ef_construction=self.options.ef_construction, random_seed=SEED)
        elif end > self._index.get_max_elements():
            self._index.resize_index(max(end, 2 * start))
        self._index.add_items(vectors, np.arange(start, end), num_threads=1)
        self._keys = np.concatenate([self._keys, added])
        self._live = np.concatenate([self._live, np.ones(len(added), np.bool_)])

    def remove(self, keys: IntArray) -> None:
        for label in np.flatnonzero(np.isin(self._keys, keys) & self._live):
            self._index.mark_deleted(int(label))
            self._live[label] = False

    def search(self, queries: Sequence[Query], k: int) -> Hits:
        return Hits.of([self._best(query, k) for query in queries], k)

    def _best(self, query: Query, k: int) -> tuple[IntArray, Vectors]:
        vector = self.vector_of(query, self._dimension)
        labels, scores = self._nearest(vector, min(k + len(query.exclude), self.size) if k > 0 else 0)
        keys = self._keys[labels]
        allowed = ~np.isin(keys, query.exclude)
        return keys[allowed], scores[allowed]

    def _nearest(self, vector: Vectors, wanted: int) -> tuple[IntArray, Vectors]:
        """Labels and inner products. Where hnswlib's candidates are too few it fails: then ask it for all, then for fewer."""
        ef = max(self.options.ef_search, wanted)
        while wanted:
            self._index.set_ef(ef)
            try:
                labels, distances = self._index.knn_query(vector[None], wanted, num_threads=1)
            except RuntimeError:
                ef, wanted = len(self._keys), wanted if ef < len(self._keys) else wanted // 2
                continue
            return labels[0].astype(np.int64), 1 - distances[0]
        return np.zeros(0, np.int64), np.zeros(0, np.float32)

    def save(self, folder: Path) -> None:
        np.save(folder / "keys.npy", self._keys)
        np.save(folder / "live.npy", self._live)
        if self._index is not None:
            np.save(folder / "dimension.npy", self._index.dim)
            self._index.save_index(str(folder / "index.hnsw"))

    @classmethod
    def open(cls, folder: Path, options: OptionsBase) -> Self:
        assert isinstance(options, HNSWOptions)
        opened = cls(options)
        try:
            keys, live = (np.array(open_memmap(folder / name, mode="r")) for name in ("keys.npy", "live.npy"))
            if keys.dtype != np.int64 or live.dtype != np.bool_ or keys.ndim != 1 or keys.shape != live.shape:
                raise ValueError("keys.npy and live.npy do not fit")
            if len(keys):
                dimension = int(open_memmap(folder / "dimension.npy", mode="r"))
                check_graph(folder / "index.hnsw", dimension, live)
                opened._index = hnswlib.Index(space="ip", dim=dimension)
                opened._index.load_index(str(folder / "index.hnsw"), max_elements=len(keys))
        except Exception as error:  # of a damaged header NumPy raises many kinds
            raise AssetError(f"{folder} holds no index of hnswlib/hnsw, or a damaged one.", "Build it again.") from error
        opened._keys, opened._live = keys, live
        return opened
