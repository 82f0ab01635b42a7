"""hnswlib/hnsw: one thread and one seed build the same graph each time.

Labels are 0..n-1; `keys.npy` maps them to the bank's keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import hnswlib
import numpy as np
import numpy.typing as npt
from numpy.lib.format import open_memmap

from calumma.documents import BoolArray, IntArray
from calumma.errors import AssetError
from calumma.interfaces import Entries, Hits, Labels, Query, Retriever, RetrieverCapability, Vectors
from calumma.interfaces import Options as OptionsBase
from calumma_plugins.hnswlib.checking import check_graph
from calumma_plugins.hnswlib.options import HNSWOptions

SEED = 100
BLOCK = 4096
FEW = 5  # to score r of n rows is faster than to walk to them, a call of Python a step, while r * r <= FEW * n (measured)


class HNSW(Retriever):
    """Removed vectors stay in the graph as stepping stones and are never returned."""

    Options = HNSWOptions
    options: HNSWOptions
    capabilities: frozenset[RetrieverCapability] = frozenset({"deletes", "filters", "grows"})

    def __init__(self, options: HNSWOptions) -> None:
        super().__init__(options)
        self._labels = Labels()
        self._index: Any = None

    @property
    def size(self) -> int:
        return self._labels.size

    @property
    def _dimension(self) -> int | None:
        return None if self._index is None else int(self._index.dim)

    def add(self, entries: Entries) -> None:
        known = self._labels.known(np.asarray(entries.keys, np.int64))
        added, vectors = self.rows_of(entries, self._dimension, known)
        if not len(added):
            return
        start, end = len(self._labels), len(self._labels) + len(added)
        if self._index is None:
            index = self._new(vectors.shape[1])
            index.init_index(end, M=self.options.M, ef_construction=self.options.ef_construction, random_seed=SEED)
            index.set_ef(self.options.ef_search)
            self._index = index
        elif end > self._index.get_max_elements():
            self._index.resize_index(max(end, start + start // 2))
        self._index.add_items(vectors, np.arange(start, end), num_threads=self.options.build_threads)
        self._labels.add(added)

    def remove(self, keys: IntArray) -> None:
        labels = self._labels.find(keys)
        for label in labels.tolist():
            self._index.mark_deleted(label)
        self._labels.remove(labels)

    def search(self, queries: Sequence[Query], k: int) -> Hits:
        vectors = self.vectors_of(queries, self._dimension)
        return self._labels.search(queries, vectors, k, self._nearest)

    def _nearest(self, vectors: Vectors, wanted: int, allowed: BoolArray | None) -> tuple[IntArray, npt.NDArray[np.float32]]:
        """Labels and scores [Q, wanted]. Where the graph leads to fewer rows than there are, all of them are scored."""
        if allowed is not None and int(allowed.sum()) ** 2 <= FEW * len(allowed):
            return self._exactly(vectors, wanted, allowed)
        try:
            if allowed is None:
                labels, distances = self._index.knn_query(vectors, wanted, num_threads=self.options.search_threads or -1)
            else:  # a thread of hnswlib's that waits for Python's lock helps nobody
                labels, distances = self._index.knn_query(vectors, wanted, num_threads=1, filter=allowed.__getitem__)
        except RuntimeError:  # fewer were found for one of them
            if len(vectors) == 1:
                return self._exactly(vectors, wanted, self._labels.live if allowed is None else allowed)
            rows = [self._nearest(vectors[i : i + 1], wanted, allowed) for i in range(len(vectors))]
            return np.concatenate([row for row, _ in rows]), np.concatenate([row for _, row in rows])
        return labels.view(np.int64), 1 - distances

    def _exactly(self, vectors: Vectors, wanted: int, allowed: BoolArray) -> tuple[IntArray, npt.NDArray[np.float32]]:
        """Labels and scores [Q, wanted] of the best of these rows, each of which is scored."""
        rows = np.flatnonzero(allowed)
        scores = np.concatenate(
            [
                vectors @ np.asarray(self._index.get_items(rows[i : i + BLOCK]), np.float32).T
                for i in range(0, len(rows), BLOCK)
            ],
            axis=1,
        )
        best = np.argpartition(-scores, wanted - 1, axis=1)[:, :wanted]
        return rows[best], np.take_along_axis(scores, best, axis=1)

    def save(self, folder: Path) -> None:
        self._labels.save(folder)
        if self._index is not None:
            np.save(folder / "dimension.npy", self._index.dim)
            self._index.save_index(str(folder / "index.hnsw"))

    @classmethod
    def open(cls, folder: Path, options: OptionsBase) -> Self:
        assert isinstance(options, HNSWOptions)
        opened = cls(options)
        try:
            labels = Labels.open(folder)
            if len(labels):
                dimension = int(open_memmap(folder / "dimension.npy", mode="r"))
                check_graph(folder / "index.hnsw", dimension, labels.live)
                opened._index = opened._new(dimension)
                opened._index.load_index(str(folder / "index.hnsw"), max_elements=len(labels))
                opened._index.set_ef(options.ef_search)
        except Exception as error:  # of a damaged header NumPy raises many kinds
            raise AssetError(f"{folder} holds no index of hnswlib/hnsw, or a damaged one.", "Build it again.") from error
        opened._labels = labels
        return opened

    def _new(self, dimension: int) -> Any:
        return hnswlib.Index(space="ip", dim=dimension)
