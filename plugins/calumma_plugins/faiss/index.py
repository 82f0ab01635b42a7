"""faiss/index: FAISS under maximum inner product. Labels are 0..n-1; `keys.npy` maps them to the bank's keys."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self

import faiss
import numpy as np

from calumma.documents import IntArray
from calumma.errors import AssetError, ComponentError, InputError
from calumma.interfaces import Entries, Hits, Query, Retriever, RetrieverCapability, Vectors
from calumma.interfaces import Options as OptionsBase
from calumma_plugins.faiss.options import FaissOptions


class FaissIndex(Retriever):
    """Trained, where the factory asks for it, on the first vectors that are added."""

    Options = FaissOptions
    options: FaissOptions
    capabilities: ClassVar[frozenset[RetrieverCapability]] = frozenset({"grows"})

    def __init__(self, options: FaissOptions) -> None:
        super().__init__(options)
        self._keys: IntArray = np.zeros(0, np.int64)
        self._index: Any = None

    @property
    def size(self) -> int:
        return len(self._keys)

    def add(self, entries: Entries) -> None:
        keys = np.concatenate([self._keys, np.asarray(entries.keys, np.int64)])
        if len(np.unique(keys)) < len(keys):
            raise InputError("A key was added twice.", "Remove it first.")
        vectors = np.ascontiguousarray(entries.vectors, np.float32)
        if not len(vectors):
            return
        with _one_thread():
            if self._index is None:
                self._index = self._trained(vectors)
            self._index.add(vectors)
        self._keys = keys

    def remove(self, keys: IntArray) -> None:
        raise ComponentError(
            "faiss/index cannot remove documents.", "Build the index again, or use hnswlib/hnsw or exact/flat."
        )

    def search(self, queries: Sequence[Query], k: int) -> Hits:
        return Hits.of([self._best(query, k) for query in queries], k)

    def _best(self, query: Query, k: int) -> tuple[IntArray, Vectors]:
        if query.vector is None:
            raise InputError("faiss/index searches by vector, and the query has none.", "Embed the query first.")
        wanted = min(k + len(query.exclude), self.size)
        if self._index is None or wanted < 1 or k < 1:
            return np.zeros(0, np.int64), np.zeros(0, np.float32)
        vector = np.ascontiguousarray(query.vector[None], np.float32)
        scores, labels = (row[0] for row in self._index.search(vector, wanted))
        scores, labels = scores[labels >= 0], labels[labels >= 0]
        keys = self._keys[labels]
        allowed = ~np.isin(keys, query.exclude)
        return keys[allowed], scores[allowed]

    def save(self, folder: Path) -> None:
        np.save(folder / "keys.npy", self._keys)
        if self._index is not None:
            faiss.write_index(self._index, str(folder / "index.faiss"))

    @classmethod
    def open(cls, folder: Path, options: OptionsBase) -> Self:
        assert isinstance(options, FaissOptions)
        opened = cls(options)
        try:
            keys = np.load(folder / "keys.npy")
            index = faiss.read_index(str(folder / "index.faiss")) if len(keys) else None
        except (OSError, ValueError, EOFError, RuntimeError) as error:
            raise AssetError(f"{folder} holds no index of faiss/index.", "Build it again.") from error
        if keys.dtype != np.int64 or len(keys) != (index.ntotal if index else 0):
            raise AssetError(f"The index in {folder} is damaged.", "Build it again.")
        opened._keys, opened._index = keys, index
        if index is not None:
            opened._set_search_options(index)
        return opened

    def _trained(self, vectors: Vectors) -> Any:
        factory, dimension = self.options.factory, vectors.shape[1]
        try:
            index = faiss.index_factory(dimension, factory, faiss.METRIC_INNER_PRODUCT)
        except RuntimeError as error:
            raise ComponentError(
                f"FAISS cannot build {factory!r} over {dimension} dimensions ({_reason(error)}).",
                "See FAISS's list of factory strings, such as Flat, HNSW32 or IVF256,PQ64.",
            ) from error
        self._set_search_options(index)
        try:
            index.train(vectors)
        except RuntimeError as error:
            raise ComponentError(
                f"{len(vectors)} vectors are too few to train the FAISS index {factory!r} ({_reason(error)}).",
                "Use a factory for small banks, such as Flat or HNSW32.",
            ) from error
        return index

    def _set_search_options(self, index: Any) -> None:
        for option, parameter in (("nprobe", "nprobe"), ("ef_search", "efSearch")):
            value = getattr(self.options, option)
            if value is None:
                continue
            try:
                faiss.ParameterSpace().set_index_parameter(index, parameter, value)
            except RuntimeError as error:
                raise ComponentError(
                    f"The FAISS index {self.options.factory!r} has no {option}.", f"Leave {option} out, or change `factory`."
                ) from error


@contextmanager
def _one_thread() -> Iterator[None]:
    """Graphs that several threads build at once differ from run to run."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def _reason(error: RuntimeError) -> str:
    return str(error).strip().splitlines()[-1].split("Error: ")[-1][:200]
