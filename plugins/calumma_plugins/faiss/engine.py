"""A FAISS index and how its family is asked: for allowed rows alone, and again where it found fewer than there are."""

from __future__ import annotations

import shutil
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Self

import faiss as typed_faiss
import numpy as np
import numpy.typing as npt

from calumma.documents import BoolArray, IntArray
from calumma.errors import ComponentError
from calumma.interfaces import Vectors
from calumma_plugins.faiss.factory import read
from calumma_plugins.faiss.options import FaissOptions

faiss: Any = typed_faiss  # its stubs do not know the parameters of searches
FloatArray = npt.NDArray[np.float32]
FEW = 20_000  # rows that are scored one by one as fast as a graph is walked for them
BLOCK = 65_536


class Engine:
    """An index under maximum inner product, over rows 0, 1, 2, ...

    Attributes:
        index: what the factory string makes. dimension: of rows and queries. facts: of the factory string.
    """

    def __init__(self, index: Any, options: FaissOptions) -> None:
        self.index, self.facts, self._options = index, read(options.factory), options
        self.dimension = int(index.d)
        self._file: BinaryIO | None = None  # that the index is a view of
        self._set_search_options()

    @classmethod
    def made(cls, options: FaissOptions, dimension: int) -> Self:
        """A new one. Raises ComponentError for a factory string that FAISS does not take, or options that do not fit it."""
        try:
            index = _from_factory(options.factory, dimension)
        except RuntimeError as error:
            raise ComponentError(
                f"FAISS cannot build {options.factory!r} over {dimension} dimensions ({_reason(error)}).",
                "See FAISS's list of factory strings, such as Flat, HNSW32 or IVF256,PQ64.",
            ) from error
        engine = cls(index, options)
        if options.ef_construction is not None:
            engine._set("ef_construction", "efConstruction")
        return engine

    # --- building ---

    def train(self, vectors: Vectors) -> None:
        """Learns from float32 [N, D]. Raises ComponentError where they are too few."""
        try:
            with _threads(self._options.build_threads):
                self.index.train(np.ascontiguousarray(vectors))
        except RuntimeError as error:
            raise ComponentError(
                f"{len(vectors)} vectors are too few to train the FAISS index {self._options.factory!r} ({_reason(error)}).",
                "Use a factory for small banks, such as Flat or HNSW32.",
            ) from error

    def add(self, vectors: Vectors, labels: IntArray) -> None:
        """Adds float32 [N, D] under labels that follow those that were given."""
        self._load()
        try:
            with _threads(self._options.build_threads):
                if self.facts.family == "lists":
                    self.index.add_with_ids(np.ascontiguousarray(vectors), labels)
                else:
                    self.index.add(np.ascontiguousarray(vectors))
        except RuntimeError as error:
            raise ComponentError(
                f"FAISS cannot add to {self._options.factory!r} ({_reason(error)}).", "Use another factory, such as HNSW32."
            ) from error

    def remove(self, labels: IntArray) -> bool:
        """Removes rows; whether those that are left are numbered anew, in their order."""
        self._load()
        self.index.remove_ids(labels)
        return self.facts.family == "flat"

    # --- searching ---

    def nearest(self, vectors: Vectors, wanted: int, allowed: BoolArray | None) -> tuple[IntArray, FloatArray]:
        """Labels and scores [Q, wanted] of the best; a score of -inf where none was found. See `calumma.interfaces.Labels`."""
        selector = None
        if allowed is None:
            scores, labels = self.index.search(vectors, wanted)
        else:
            there = int(allowed.sum())
            if self.facts.family == "graph" and there <= FEW:
                return self._exactly(vectors, wanted, np.flatnonzero(allowed))
            selector = faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))
            scores, labels = self._search(vectors, wanted, selector, share=there / len(allowed))
        last = labels.item(-1) if len(labels) == 1 else labels[:, -1].min(initial=0)
        if last < 0:  # what is missing comes last
            short = np.flatnonzero((labels < 0).any(axis=1))
            if self.facts.family == "lists":
                scores[short], labels[short] = self._search(vectors[short], wanted, selector, lists=self._core.nlist)
            elif self.facts.family == "graph":
                rows = np.arange(self.index.ntotal) if allowed is None else np.flatnonzero(allowed)
                labels[short], scores[short] = self._exactly(vectors[short], wanted, rows)
            scores[labels < 0] = -np.inf
        return labels, scores

    def _search(
        self, vectors: Vectors, wanted: int, selector: Any, *, share: float = 1.0, lists: int | None = None
    ) -> tuple[FloatArray, IntArray]:
        """Scores and labels by parameters of this search: `share` of the rows selected, `lists` visited (None: as always)."""
        core = self._core
        if self.facts.family == "lists":
            parameters: Any = faiss.SearchParametersIVF(sel=selector, nprobe=lists or core.nprobe)
        elif self.facts.family == "graph":  # what is not selected is a candidate too
            candidates = int(np.ceil(max(core.hnsw.efSearch, wanted) / share))
            parameters = faiss.SearchParametersHNSW(sel=selector, efSearch=min(candidates, core.ntotal))
        else:
            parameters = faiss.SearchParameters(sel=selector)
        outer = parameters
        if self._is_transformed:
            outer = faiss.SearchParametersPreTransform()
            outer.index_params = parameters
        scores, labels = self.index.search(vectors, wanted, params=outer)
        return scores, labels

    def _exactly(self, vectors: Vectors, wanted: int, rows: IntArray) -> tuple[IntArray, FloatArray]:
        """Labels and scores [Q, wanted] of the best of these rows, each of which is scored."""
        if self._is_transformed:
            for place in range(self.index.chain.size()):
                vectors = faiss.downcast_VectorTransform(self.index.chain.at(place)).apply(np.ascontiguousarray(vectors))
        labels, scores = np.zeros((len(vectors), 0), np.int64), np.zeros((len(vectors), 0), np.float32)
        for start in range(0, len(rows), BLOCK):
            block = rows[start : start + BLOCK]
            scores = np.concatenate([scores, vectors @ self._core.reconstruct_batch(block).T], axis=1)
            labels = np.concatenate([labels, np.broadcast_to(block, (len(vectors), len(block)))], axis=1)
            if scores.shape[1] > wanted:
                best = np.argpartition(-scores, wanted - 1, axis=1)[:, :wanted]
                labels, scores = np.take_along_axis(labels, best, axis=1), np.take_along_axis(scores, best, axis=1)
        return labels, scores

    @property
    def _is_transformed(self) -> bool:
        return isinstance(self.index, faiss.IndexPreTransform)

    @property
    def _core(self) -> Any:
        """The index behind what transforms vectors for it."""
        return faiss.downcast_index(self.index.index) if self._is_transformed else self.index

    def _set_search_options(self) -> None:
        for option, parameter in (("nprobe", "nprobe"), ("ef_search", "efSearch")):
            if getattr(self._options, option) is not None:
                self._set(option, parameter)

    def _set(self, option: str, parameter: str) -> None:
        try:
            faiss.ParameterSpace().set_index_parameter(self.index, parameter, getattr(self._options, option))
        except RuntimeError as error:
            raise ComponentError(
                f"The FAISS index {self._options.factory!r} has no {option}.", f"Leave {option} out, or change `factory`."
            ) from error

    # --- on disk ---

    def save(self, path: Path) -> None:
        """Writes the index into a file."""
        if self._file is None:
            faiss.write_index(self.index, str(path))
        else:  # FAISS would write that the lists are elsewhere
            self._file.seek(0)
            with path.open("wb") as copy:
                shutil.copyfileobj(self._file, copy, 2**24)

    @classmethod
    def opened(cls, path: Path, options: FaissOptions) -> Self:
        """What `save` wrote. Raises ValueError where the file holds another sort of index, RuntimeError where it is damaged."""
        flags = 0
        if options.map_memory:
            flags = faiss.IO_FLAG_MMAP_IFC
            if read(options.factory).family == "lists":
                flags = faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY
        index = faiss.read_index(str(path), flags)
        twin = _from_factory(options.factory, index.d)
        same = isinstance(index, type(twin)) or isinstance(twin, type(index))  # reading and making differ for Flat
        if not same or index.metric_type != twin.metric_type:
            raise ValueError(f"{path.name} is no {options.factory!r}")
        engine = cls(index, options)
        if options.map_memory:
            engine._file = path.open("rb")
            weakref.finalize(engine, engine._file.close)
        return engine

    def _load(self) -> None:
        """Into memory, where it was only mapped: FAISS ends the process over changes to a view."""
        if self._file is not None:
            self._file.seek(0)
            self.index = faiss.read_index(faiss.PyCallbackIOReader(self._file.read))
            self._file.close()
            self._file = None
            self._set_search_options()


def _from_factory(factory: str, dimension: int) -> Any:
    return faiss.index_factory(dimension, factory, faiss.METRIC_INNER_PRODUCT)


@contextmanager
def _threads(number: int) -> Iterator[None]:
    """Graphs that several threads build at once differ from run to run."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(number)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def _reason(error: RuntimeError) -> str:
    return str(error).strip().splitlines()[-1].split("Error: ")[-1][:200]
