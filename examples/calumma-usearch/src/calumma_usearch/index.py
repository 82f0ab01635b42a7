"""usearch/index: labels 0, 1, ... inside, the bank's keys outside: usearch keeps one key, 2**64 - 1, for itself."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
from calumma.documents import BoolArray, IntArray
from calumma.errors import AssetError
from calumma.interfaces import Entries, Hits, Query, Retriever, RetrieverCapability, Vectors, sha256_of
from calumma.interfaces import Options as OptionsBase
from usearch.index import Index

from calumma_usearch.options import USearchOptions

INDEX, KEYS, LIVE, FACTS = "index.usearch", "keys.npy", "live.npy", "facts.json"
SCALARS = {"float32": "f32", "float16": "f16"}


class USearch(Retriever):
    """One thread builds, so the same rows in the same order give the same index."""

    Options = USearchOptions
    options: USearchOptions
    capabilities: frozenset[RetrieverCapability] = frozenset({"deletes", "grows", "maps memory"})

    def __init__(self, options: USearchOptions) -> None:
        super().__init__(options)
        self._keys: IntArray = np.zeros(0, np.int64)  # by label
        self._live: BoolArray = np.zeros(0, np.bool_)
        self._index: Index | None = None
        self._mapped: Path | None = None  # the file that `_index` is a view of

    @property
    def size(self) -> int:
        """How many of the keys are not removed."""
        return int(self._live.sum())

    def add(self, entries: Entries) -> None:
        """Adds rows under new labels; those of removed rows are not used again."""
        keys, vectors = self.rows_of(entries, self._index.ndim if self._index else None, self._keys[self._live])
        if not len(keys):
            return
        index = self._index = self._writable() or self._new(vectors.shape[1])
        labels = np.arange(len(self._keys), len(self._keys) + len(keys))
        index.add(labels, np.ascontiguousarray(vectors), threads=1)
        self._keys = np.concatenate([self._keys, keys])
        self._live = np.concatenate([self._live, np.ones(len(keys), np.bool_)])

    def remove(self, keys: IntArray) -> None:
        """Removes rows from the graph's answers."""
        labels = np.flatnonzero(np.isin(self._keys, keys) & self._live)
        if len(labels):
            index = self._writable()
            assert index is not None
            index.remove(labels, threads=1)
            self._live[labels] = False

    def search(self, queries: Sequence[Query], k: int) -> Hits:
        """Asks for as many more as a query excludes."""
        return Hits.of([self._best(query, k) for query in queries], k)

    def _best(self, query: Query, k: int) -> tuple[IntArray, Vectors]:
        vector = np.ascontiguousarray(self.vector_of(query, self._index.ndim if self._index else None))
        wanted = min(k + len(query.exclude), self.size) if k > 0 else 0
        if self._index is None or not wanted:
            return np.zeros(0, np.int64), np.zeros(0, np.float32)
        found = self._index.search(vector, wanted, threads=1)
        if len(found.keys) < wanted:  # the graph hid some, as it does where many vectors are equal
            found = self._index.search(vector, wanted, threads=1, exact=True)
        keys, scores = self._keys[found.keys.astype(np.int64)], np.asarray(1 - found.distances, np.float32)
        allowed = ~np.isin(keys, query.exclude)
        return keys[allowed], scores[allowed]

    def save(self, folder: Path) -> None:
        """Writes the graph, the keys by label, which of them are live, and the graph's sha256."""
        np.save(folder / KEYS, self._keys)
        np.save(folder / LIVE, self._live)
        facts: dict[str, object] = {"dimension": None}
        if self._index is not None:
            self._index.save(folder / INDEX)
            facts = {"dimension": self._index.ndim, "sha256": sha256_of(folder / INDEX)}
        (folder / FACTS).write_text(json.dumps(facts), encoding="utf-8")

    @classmethod
    def open(cls, folder: Path, options: OptionsBase) -> Self:
        """Opens, or maps, what `save` wrote. A graph that was changed since is refused: usearch would crash on it."""
        assert isinstance(options, USearchOptions)
        opened = cls(options)
        damaged = AssetError(f"{folder} holds no index of usearch/index, or a damaged one.", "Build it again.")
        try:
            facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
            keys, live = np.load(folder / KEYS), np.load(folder / LIVE)
            if facts["dimension"] is not None:
                if facts["sha256"] != sha256_of(folder / INDEX):
                    raise damaged
                opened._index = opened._new(int(facts["dimension"]))
                if options.map_memory:
                    opened._mapped = folder / INDEX
                    opened._index.view(opened._mapped)
                else:
                    opened._index.load(folder / INDEX)
        except (OSError, ValueError, EOFError, KeyError, TypeError, RuntimeError) as error:
            raise damaged from error
        count = 0 if opened._index is None else len(opened._index)
        if keys.dtype != np.int64 or live.dtype != np.bool_ or keys.shape != live.shape or int(live.sum()) != count:
            raise damaged
        opened._keys, opened._live = keys, live
        return opened

    def _new(self, dimension: int) -> Index:
        return Index(
            ndim=dimension,
            metric="ip",
            dtype=SCALARS[self.options.scalar],
            connectivity=self.options.connectivity,
            expansion_add=self.options.expansion_add,
            expansion_search=self.options.expansion_search,
        )

    def _writable(self) -> Index | None:
        """The index, loaded where it was only mapped: usearch crashes on changes to a view."""
        if self._index is not None and self._mapped is not None:
            mapped, self._index = self._index, self._new(self._index.ndim)
            self._index.load(self._mapped)
            self._mapped = None
            mapped.reset()
        return self._index
