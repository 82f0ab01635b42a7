"""The engines that are measured: through Calumma's interface, and by the raw library with the same parameters."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import hnswlib
import numpy as np

from calumma.interfaces import Entries, Retriever
from calumma_plugins.faiss.index import FaissIndex
from calumma_plugins.faiss.options import FaissOptions
from calumma_plugins.hnswlib.hnsw import HNSW
from calumma_plugins.hnswlib.options import HNSWOptions

CHUNK = 100_000
THREADS = os.cpu_count() or 1
PER_LIST = 64  # rows that an IVF index learns from; FAISS warns below 39


@dataclass(frozen=True)
class Engine:
    """One engine.

    Attributes:
        name: of it. kind, options: what Calumma builds, for n rows. lists: of an IVF index of n rows; 0 for others.
        streams: whether a search reads everything, so that caches hold nothing of the search before.
    """

    name: str
    kind: type[Retriever]
    options: Callable[[int], Any]
    lists: Callable[[int], int] = lambda n: 0
    streams: bool = False

    def built(self, rows: np.ndarray) -> Retriever:
        """Ours, over float32 [n, D] with keys 0 .. n - 1."""
        index = self.kind(self.options(len(rows)))
        sample = self._sample(rows)
        if sample is not None:
            index.train(sample, len(rows))
        for start in range(0, len(rows), CHUNK):
            part = rows[start : start + CHUNK]
            index.add(Entries(np.arange(start, start + len(part)), part))
        return index

    def built_raw(self, rows: np.ndarray) -> Any:
        """The same by the library alone."""
        options = self.options(len(rows))
        if self.kind is HNSW:
            index: Any = hnswlib.Index(space="ip", dim=rows.shape[1])
            index.init_index(len(rows), M=options.M, ef_construction=options.ef_construction, random_seed=100)
            for start in range(0, len(rows), CHUNK):
                part = rows[start : start + CHUNK]
                index.add_items(part, np.arange(start, start + len(part)), num_threads=THREADS)
            return index
        faiss.omp_set_num_threads(THREADS)
        index = faiss.index_factory(rows.shape[1], options.factory, faiss.METRIC_INNER_PRODUCT)
        sample = self._sample(rows)
        if sample is not None:
            index.train(sample)
        for start in range(0, len(rows), CHUNK):
            index.add(np.ascontiguousarray(rows[start : start + CHUNK]))
        return index

    def _sample(self, rows: np.ndarray) -> np.ndarray | None:
        """What an IVF index learns from: the same evenly spaced rows for both."""
        wanted = min(PER_LIST * self.lists(len(rows)), len(rows))
        return None if not wanted else np.ascontiguousarray(rows[np.linspace(0, len(rows) - 1, wanted).astype(np.int64)])

    def save_raw(self, index: Any, path: Path) -> None:
        """As the library does."""
        if self.kind is HNSW:
            index.save_index(str(path))
        else:
            faiss.write_index(index, str(path))

    def raw(self, index: Retriever) -> Callable[[np.ndarray, int], Any]:
        """The raw search of the very object that ours searches: (queries float32 [Q, D], k)."""
        if isinstance(index, HNSW):
            return index._index.knn_query
        assert isinstance(index, FaissIndex)
        assert index._engine is not None
        return index._engine.index.search

    def raw_keys(self, answer: Any) -> np.ndarray:
        """int64 [Q, k] of what `raw` gave."""
        return np.asarray(answer[0 if self.kind is HNSW else 1], np.int64)


def _lists(n: int) -> int:
    return 4096 if n >= 1_000_000 else 1024 if n >= 100_000 else 256


def engines(nprobe: int = 16, ef: int = 64) -> list[Engine]:
    """FAISS IVF and HNSW32, hnswlib, and FAISS Flat, which takes longest; with parameters as they are usual."""

    def faiss_options(factory: str, **more: Any) -> FaissOptions:
        return FaissOptions(factory=factory, build_threads=THREADS, **more)

    return [
        Engine("faiss IVF", FaissIndex, lambda n: faiss_options(f"IVF{_lists(n)},Flat", nprobe=nprobe), lists=_lists),
        Engine("faiss HNSW32", FaissIndex, lambda n: faiss_options("HNSW32", ef_construction=40, ef_search=ef)),
        Engine("hnswlib", HNSW, lambda n: HNSWOptions(M=16, ef_construction=200, ef_search=ef, build_threads=THREADS)),
        Engine("faiss Flat", FaissIndex, lambda n: faiss_options("Flat"), streams=True),
    ]
