"""exact/flat: every vector scored, block by block. Ties go to the smaller key."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
from numpy.lib.format import open_memmap

from calumma.documents import BoolArray, IntArray
from calumma.errors import AssetError, ComponentError
from calumma.interfaces import Device, Dtype, Entries, Hits, Labels, Query, Retriever, RetrieverCapability, Vectors
from calumma.interfaces import Options as OptionsBase
from calumma_plugins.exact.options import FlatOptions
from calumma_plugins.exact.products import FloatArray, NumpyProducts, Products, TorchProducts
from calumma_plugins.exact.scoring import best_rows

BLOCK = 65536


class Flat(Retriever):
    """Keys and vectors side by side; a saved index is mapped into memory, not read. Removed rows go when it is saved."""

    Options = FlatOptions
    options: FlatOptions
    capabilities: frozenset[RetrieverCapability] = frozenset({"deletes", "filters", "grows", "maps memory"})
    exact = True

    def __init__(self, options: FlatOptions) -> None:
        super().__init__(options)
        self._labels = Labels()
        self._room: Vectors | None = None  # rows by label, and room for more behind them
        self._longest: float | None = 0.0  # no row is longer; None where that was not looked at yet
        self._products: Products | None = None

    def warm_up(self, device: Device = "cpu", dtype: Dtype = "float32") -> None:
        """Decides where products are computed. Raises ComponentError where there is no such device."""
        where = device if self.options.device == "auto" else self.options.device
        if self._products is not None and getattr(self._products, "device", "cpu") == where:
            return
        if where.startswith("cuda"):
            import torch

            if not torch.cuda.is_available():
                raise ComponentError(f"{self.id} was told to compute on {where}, and torch finds no GPU.", "Use device: cpu.")
        self._products = NumpyProducts() if where == "cpu" else TorchProducts(where)

    @property
    def size(self) -> int:
        return self._labels.size

    @property
    def _vectors(self) -> Vectors:
        """float32 [labels, D]."""
        assert self._room is not None
        return self._room[: len(self._labels)]

    @property
    def _dimension(self) -> int | None:
        return None if self._room is None else int(self._room.shape[1])

    def add(self, entries: Entries) -> None:
        keys, vectors = self.rows_of(entries, self._dimension, self._labels.known(np.asarray(entries.keys, np.int64)))
        if not len(keys):
            return
        there, needed = len(self._labels), len(self._labels) + len(keys)
        if self._room is None or needed > len(self._room):
            room = np.empty((needed if self._room is None else max(needed, 2 * there), vectors.shape[1]), np.float32)
            if self._room is not None:
                room[:there] = self._vectors
            self._room = room
        self._room[there:needed] = vectors
        self._labels.add(keys)
        self._longest = None if self._longest is None else max(self._longest, _length(vectors))
        if isinstance(self._products, TorchProducts):
            self._products.forget()

    def remove(self, keys: IntArray) -> None:
        self._labels.remove(self._labels.find(keys))

    def search(self, queries: Sequence[Query], k: int) -> Hits:
        vectors = self.vectors_of(queries, self._dimension)
        return self._labels.search(queries, vectors, k, self._nearest)

    def _nearest(self, vectors: Vectors, wanted: int, allowed: BoolArray | None) -> tuple[IntArray, FloatArray]:
        if self._products is None:
            self.warm_up()
        assert self._products is not None
        if self._longest is None:
            self._longest = max(_length(self._vectors[start : start + BLOCK]) for start in range(0, len(self._labels), BLOCK))
        if not np.isfinite(self._longest):
            raise AssetError("The index of exact/flat is damaged: it holds NaN or infinity.", "Build it again.")
        return best_rows(
            self._vectors,
            self._labels.keys,
            vectors,
            wanted,
            allowed=self._labels.live if allowed is None and self.size < len(self._labels) else allowed,
            longest=self._longest,
            block=self.options.block,
            products=self._products,
        )

    def save(self, folder: Path) -> None:
        live = self._labels.live
        np.save(folder / "keys.npy", self._labels.keys[live])
        if self._room is None or not self.size:
            np.save(folder / "vectors.npy", np.zeros((0, 0), np.float32))
        else:
            np.save(folder / "vectors.npy", self._vectors if live.all() else self._vectors[live])

    @classmethod
    def open(cls, folder: Path, options: OptionsBase) -> Self:
        assert isinstance(options, FlatOptions)
        index = cls(options)
        try:
            keys, vectors = (np.asarray(open_memmap(folder / name, mode="r")) for name in ("keys.npy", "vectors.npy"))
        except Exception as error:  # of a damaged header NumPy raises many kinds
            raise AssetError(f"{folder} holds no index of exact/flat.", "Build it again.") from error
        kinds = keys.dtype == np.int64 and vectors.dtype == np.float32
        if not kinds or (keys.ndim, vectors.ndim) != (1, 2) or len(keys) != len(vectors):
            raise AssetError(f"The index in {folder} is damaged.", "Build it again.")
        if len(keys):
            index._labels, index._room, index._longest = Labels(keys), vectors, None
        return index


def _length(vectors: Vectors) -> float:
    """Of the longest row."""
    return float(np.sqrt(np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64).max(initial=0)))
