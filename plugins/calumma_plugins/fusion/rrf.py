"""fusion/rrf: reciprocal rank fusion (Cormack, Clarke and Buettcher, SIGIR 2009, doi:10.1145/1571941.1572114).

score(d) = sum over the retrievers r of weight_r / (k_constant + rank_r(d)), ranks from 1; who does not find d adds nothing.
Ranks alone count, so that scores of different kinds need not be made comparable.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from calumma.documents import IntArray
from calumma.errors import AssetError, ComponentError, InputError
from calumma.extension import Catalog
from calumma.files import read_text
from calumma.interfaces import (
    Device,
    Dtype,
    Entries,
    Hits,
    Query,
    Retriever,
    RetrieverCapability,
    RetrieverMetric,
    Vectors,
)
from calumma.interfaces import Options as OptionsBase
from calumma_plugins.fusion.options import RRFOptions

FILE = "fusion.json"


class RRF(Retriever):
    """Holds an index of every part, all of the same rows; a query must have what every part asks by.

    It can do what all its parts can. Each is asked for `depth` documents (or k, where that is more), so that k changes none of
    the first answers as long as it is not above `depth`.
    """

    Options = RRFOptions
    options: RRFOptions
    capabilities: frozenset[RetrieverCapability] = frozenset({"deletes", "filters", "grows", "maps memory"})
    metric: RetrieverMetric = "reciprocal rank"

    def __init__(self, options: RRFOptions) -> None:
        super().__init__(options)
        self._parts = [_new(part.built) for part in options.retrievers]
        self._weights = options.weights or [1.0] * len(self._parts)
        self._dimension: int | None = None
        self.accepts = frozenset().union(*(part.accepts for part in self._parts))
        self.capabilities = frozenset.intersection(*(part.capabilities for part in self._parts))
        self.train_rows = max(part.train_rows for part in self._parts)

    @property
    def size(self) -> int:
        return max(part.size for part in self._parts)

    def warm_up(self, device: Device = "cpu", dtype: Dtype = "float32") -> None:
        for part in self._parts:
            part.warm_up(device, dtype)

    def train(self, vectors: Vectors, total: int) -> None:
        for part in self._parts:
            if part.train_rows:
                part.train(vectors[: part.train_rows], total)

    # --- growing and shrinking ---

    def add(self, entries: Entries) -> None:
        rows = self._checked(entries)
        if self.size and "grows" not in self.capabilities:
            raise ComponentError(f"{self._lacking('grows')} cannot take more documents.", "Build the index again.")
        empty = self.size == 0
        for place, part in enumerate(self._parts):
            try:
                part.add(rows)
            except Exception:
                self._undo(place, rows.keys, empty)
                raise
        if len(rows.keys) and "vector" in self.accepts:
            self._dimension = rows.vectors.shape[1]

    def _checked(self, entries: Entries) -> Entries:
        """The rows, refused as a whole if any part would refuse them for what they are."""
        keys = np.asarray(entries.keys, np.int64)
        if "text" in self.accepts and (entries.texts is None or keys.shape != (len(entries.texts),)):
            raise InputError(f"{self._needing('text')} needs one text for every key.", "Give Entries.texts.")
        if "vector" in self.accepts:
            keys, vectors = self.rows_of(entries, self._dimension, np.zeros(0, np.int64))
            return Entries(keys, vectors, entries.texts)
        if len(np.unique(keys)) < len(keys):
            raise InputError("A key was added twice.", "Give each key once.")
        return Entries(keys, entries.vectors, entries.texts)

    def _undo(self, places: int, keys: IntArray, empty: bool) -> None:
        """Takes rows out of the first `places` parts again, because a later one refused them."""
        for place, part in enumerate(self._parts[:places]):
            if empty:
                self._parts[place] = _new(part)
            elif "deletes" in part.capabilities:
                part.remove(keys)
            else:
                raise ComponentError(
                    f"A part of {self.id or 'fusion/rrf'} refused rows that {part.id} holds and cannot remove.",
                    "Build the index again.",
                )

    def remove(self, keys: IntArray) -> None:
        if "deletes" not in self.capabilities:
            raise ComponentError(f"{self._lacking('deletes')} cannot remove documents.", "Build the index again.")
        for part in self._parts:
            part.remove(keys)

    # --- searching ---

    def search(self, queries: Sequence[Query], k: int) -> Hits:
        for query in queries:
            self.check_filter(query)
            for need, given in (("vector", query.vector), ("text", query.text)):
                if need in self.accepts and given is None:
                    raise InputError(
                        f"{self._needing(need)} searches by {need}, and the query has none.",
                        f"Ask by {' and '.join(sorted(self.accepts))}, or leave that part out.",
                    )
        depth = max(self.options.depth, k) if k > 0 else 0
        found = [part.search(queries, depth) for part in self._parts]
        return Hits.of([self._fused([(hits, i) for hits in found]) for i in range(len(queries))], max(k, 0))

    def _fused(self, ranked: list[tuple[Hits, int]]) -> tuple[IntArray, Vectors]:
        """Keys and scores of all that any part found for one query."""
        counts = [int(hits.counts[row]) if weight else 0 for weight, (hits, row) in zip(self._weights, ranked, strict=True)]
        found = [hits.keys[row, :count] for count, (hits, row) in zip(counts, ranked, strict=True)]
        shares = [
            weight / (self.options.k_constant + np.arange(1, count + 1))
            for weight, count in zip(self._weights, counts, strict=True)
        ]
        keys, places = np.unique(np.concatenate(found), return_inverse=True)
        return keys, np.bincount(places, np.concatenate(shares), len(keys)).astype(np.float32)

    # --- on disk ---

    def save(self, folder: Path) -> None:
        elsewhere = {str(place): part.id for place, part in enumerate(self._parts) if _holds_elsewhere(part)}
        told = {"parts": self._keys_of_parts(), "dimension": self._dimension, "elsewhere": elsewhere}
        (folder / FILE).write_text(json.dumps(told), encoding="utf-8")
        for place, part in enumerate(self._parts):
            (folder / str(place)).mkdir()
            part.save(folder / str(place))

    @classmethod
    def open(cls, folder: Path, options: OptionsBase) -> Self:
        assert isinstance(options, RRFOptions)
        index = cls(options)
        told = _read(folder)
        if told.get("parts") != index._keys_of_parts():
            raise AssetError(f"The index in {folder} is not one of these retrievers.", "Build it again.")
        opened = [type(part).open(folder / str(place), part.options) for place, part in enumerate(index._parts)]
        for one, part in zip(opened, index._parts, strict=True):
            one.id = part.id
        dimension, sizes = told.get("dimension"), {part.size for part in opened if part.accepts}
        if len(sizes) > 1 or not (dimension is None or isinstance(dimension, int)):
            raise AssetError(f"The index in {folder} is damaged.", "Build it again.")
        index._parts, index._dimension = opened, dimension
        return index

    @classmethod
    def drop(cls, folder: Path) -> None:
        """Has the parts free what they hold elsewhere. Raises ComponentError where their plugins are not there."""
        catalog = Catalog()
        for place, id in dict(_read(folder).get("elsewhere") or {}).items():
            kind = catalog.component_class(catalog.spec("retriever", str(id)))
            if issubclass(kind, Retriever) and str(place).isdecimal():
                kind.drop(folder / str(place))

    def close(self) -> None:
        for part in self._parts:
            part.close()

    # --- inside ---

    def _keys_of_parts(self) -> list[str]:
        return [part.index_key() for part in self._parts]

    def _lacking(self, capability: RetrieverCapability) -> str:
        return next(part.id or type(part).__name__ for part in self._parts if capability not in part.capabilities)

    def _needing(self, need: str) -> str:
        return next(part.id or type(part).__name__ for part in self._parts if need in part.accepts)


def _new(part: object) -> Retriever:
    """An empty index of a part's own class and options."""
    if not isinstance(part, Retriever):
        raise ComponentError(f"{part!r} is no retriever.", "Give `retrievers` retrievers.")
    twin = type(part)(part.options)
    twin.id = part.id
    return twin


def _holds_elsewhere(part: Retriever) -> bool:
    return getattr(type(part).drop, "__func__", None) is not getattr(Retriever.drop, "__func__", None)


def _read(folder: Path) -> dict[str, Any]:
    try:
        told = json.loads(read_text(folder / FILE, 2**20))
        if not isinstance(told, dict):
            raise ValueError("it is no object")
    except (OSError, ValueError) as error:
        raise AssetError(f"{folder} holds no index of fusion/rrf, or a damaged one.", "Build it again.") from error
    return told
