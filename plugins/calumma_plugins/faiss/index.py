"""faiss/index: FAISS under maximum inner product. Labels are 0, 1, ...; `keys.npy` maps them to the bank's keys."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np

from calumma.documents import IntArray
from calumma.errors import AssetError, CalummaError, ComponentError
from calumma.interfaces import Entries, Hits, Labels, Query, Retriever, RetrieverCapability, Vectors
from calumma.interfaces import Options as OptionsBase
from calumma_plugins.faiss.engine import Engine
from calumma_plugins.faiss.factory import read
from calumma_plugins.faiss.options import FaissOptions

FILE = "index.faiss"


class FaissIndex(Retriever):
    """What it can do is a matter of the factory string: see `calumma_plugins.faiss.factory`."""

    Options = FaissOptions
    options: FaissOptions
    capabilities: frozenset[RetrieverCapability] = read("Flat").capabilities  # of the default

    def __init__(self, options: FaissOptions) -> None:
        super().__init__(options)
        facts = read(options.factory)
        self.capabilities = facts.capabilities
        self.train_rows = options.train_size if facts.train_rows and options.train_size else facts.train_rows
        self._labels = Labels()
        self._engine: Engine | None = None
        if options.map_memory and "maps memory" not in self.capabilities:
            raise ComponentError(f"FAISS cannot leave {options.factory!r} on disk.", "Leave `map_memory` out.")

    @property
    def size(self) -> int:
        return self._labels.size

    @property
    def _dimension(self) -> int | None:
        return None if self._engine is None else self._engine.dimension

    def train(self, vectors: Vectors, total: int) -> None:
        if self._engine is not None:
            raise ComponentError("faiss/index is trained already.", "Train it once, before the first row is added.")
        _, vectors = self.rows_of(Entries(np.arange(len(vectors)), vectors), None, np.zeros(0, np.int64))
        if len(vectors):
            self._engine = self._trained(vectors)

    def add(self, entries: Entries) -> None:
        known = self._labels.known(np.asarray(entries.keys, np.int64))
        keys, vectors = self.rows_of(entries, self._dimension, known)
        if not len(keys):
            return
        if "grows" not in self.capabilities and len(self._labels):
            raise ComponentError(f"A FAISS index {self.options.factory!r} does not grow.", "Build it again.")
        engine = self._trained(vectors) if self._engine is None else self._engine
        engine.add(vectors, np.arange(len(self._labels), len(self._labels) + len(keys)))
        self._engine = engine
        self._labels.add(keys)

    def _trained(self, vectors: Vectors) -> Engine:
        if 0 < self.train_rows < len(vectors):
            vectors = vectors[np.linspace(0, len(vectors) - 1, self.train_rows).astype(np.int64)]
        engine = Engine.made(self.options, vectors.shape[1])
        engine.train(vectors)
        return engine

    def remove(self, keys: IntArray) -> None:
        if "deletes" not in self.capabilities:
            raise ComponentError(
                f"A FAISS index {self.options.factory!r} cannot remove documents.",
                "Build the index again, or use hnswlib/hnsw or exact/flat.",
            )
        labels = self._labels.find(keys)
        if self._engine is not None and len(labels):
            renumbered = self._engine.remove(labels)
            self._labels.remove(labels)
            if renumbered:
                self._labels.close_up()

    def search(self, queries: Sequence[Query], k: int) -> Hits:
        vectors = self.vectors_of(queries, self._dimension)
        if self._engine is None:
            return Hits.of([(np.zeros(0, np.int64), np.zeros(0, np.float32))] * len(queries), k)
        try:
            return self._labels.search(queries, vectors, k, self._engine.nearest, filters="filters" in self.capabilities)
        except IndexError as error:  # a label beyond those that were given
            damaged = "The index of faiss/index is damaged: it finds what it does not hold."
            raise AssetError(damaged, "Build it again.") from error

    def save(self, folder: Path) -> None:
        self._labels.save(folder)
        if self._engine is not None:
            self._engine.save(folder / FILE)

    @classmethod
    def open(cls, folder: Path, options: OptionsBase) -> Self:
        assert isinstance(options, FaissOptions)
        opened = cls(options)
        try:
            opened._labels = Labels.open(folder)
            if len(opened._labels) or (folder / FILE).exists():
                opened._engine = Engine.opened(folder / FILE, options)
        except CalummaError:
            raise
        except Exception as error:  # of a damaged header NumPy raises many kinds
            raise AssetError(f"{folder} holds no index of faiss/index, or a damaged one.", "Build it again.") from error
        if opened.size != (0 if opened._engine is None else opened._engine.index.ntotal):
            raise AssetError(f"The index in {folder} is damaged.", "Build it again.")
        return opened
