"""faiss/index: FAISS under maximum inner product. Labels are 0..n-1; `keys.npy` maps them to the bank's keys."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import faiss
import numpy as np
from numpy.lib.format import open_memmap

from calumma.documents import IntArray
from calumma.errors import AssetError, ComponentError
from calumma.interfaces import Entries, Hits, Query, Retriever, RetrieverCapability, Vectors
from calumma.interfaces import Options as OptionsBase
from calumma_plugins.faiss.options import FaissOptions


class FaissIndex(Retriever):
    """Trained, where the factory asks for it, on the first vectors that are added."""

    Options = FaissOptions
    options: FaissOptions
    capabilities: frozenset[RetrieverCapability] = frozenset({"grows"})

    def __init__(self, options: FaissOptions) -> None:
        super().__init__(options)
        self._keys: IntArray = np.zeros(0, np.int64)
        self._index: Any = None

    @property
    def size(self) -> int:
        return len(self._keys)

    @property
    def _dimension(self) -> int | None:
        return None if self._index is None else int(self._index.d)

    def add(self, entries: Entries) -> None:
        keys, vectors = self.rows_of(entries, self._dimension, self._keys)
        if not len(keys):
            return
        vectors = np.ascontiguousarray(vectors)
        with _one_thread():
            if self._index is None:
                self._index = self._trained(vectors)
            self._index.add(vectors)
        self._keys = np.concatenate([self._keys, keys])

    def remove(self, keys: IntArray) -> None:
        raise ComponentError(
            "faiss/index cannot remove documents.", "Build the index again, or use hnswlib/hnsw or exact/flat."
        )

    def search(self, queries: Sequence[Query], k: int) -> Hits:
        return Hits.of([self._best(query, k) for query in queries], k)

    def _best(self, query: Query, k: int) -> tuple[IntArray, Vectors]:
        vector = np.ascontiguousarray(self.vector_of(query, self._dimension)[None])
        wanted = min(k + len(query.exclude), self.size)
        if self._index is None or wanted < 1 or k < 1:
            return np.zeros(0, np.int64), np.zeros(0, np.float32)
        scores, labels = (row[0] for row in self._index.search(vector, wanted))
        scores, labels = scores[labels >= 0], labels[labels >= 0]
        if (labels >= self.size).any():
            raise AssetError("The index of faiss/index is damaged: it finds what it does not hold.", "Build it again.")
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
            keys = np.array(open_memmap(folder / "keys.npy", mode="r"))
            index: Any = faiss.read_index(str(folder / "index.faiss")) if len(keys) else None
            twin: Any = _factory_index(options.factory, index.d) if index is not None else None
        except Exception as error:  # of a damaged header NumPy raises many kinds
            raise AssetError(f"{folder} holds no index of faiss/index.", "Build it again.") from error
        if keys.dtype != np.int64 or keys.ndim != 1 or len(keys) != (index.ntotal if index else 0):
            raise AssetError(f"The index in {folder} is damaged.", "Build it again.")
        same = isinstance(index, type(twin)) or isinstance(twin, type(index))  # reading and making differ for Flat
        if index is not None and not (same and index.metric_type == twin.metric_type):
            raise AssetError(f"The index in {folder} is no {options.factory!r}.", "Build it again.")
        opened._keys, opened._index = keys, index
        if index is not None:
            opened._set_search_options(index)
        return opened

    def _trained(self, vectors: Vectors) -> Any:
        factory, dimension = self.options.factory, vectors.shape[1]
        try:
            index = _factory_index(factory, dimension)
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


def _factory_index(factory: str, dimension: int) -> Any:
    return faiss.index_factory(dimension, factory, faiss.METRIC_INNER_PRODUCT)


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
