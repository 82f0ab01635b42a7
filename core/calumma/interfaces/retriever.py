"""Kind `retriever`: an index over a bank's vectors or texts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt

from calumma.documents.document import IntArray, Pixels
from calumma.errors import ComponentError, InputError
from calumma.interfaces.component import Component, Options
from calumma.interfaces.embedder import Vectors

RetrieverCapability = Literal["deletes", "filters", "grows", "maps memory", "remote"]


@dataclass(frozen=True, eq=False)
class Query:
    """One question to a bank: by vector, by text, or by a picture that the pipeline embeds (`vector` filled in before search).

    Attributes:
        vector: float32 [dimension], length 1.
        text, image: what the vector is (to be) computed from; engines that match words read `text`.
        exclude: int64 row keys that must not be returned.
        where: a filter on metadata, as the bank understands it.
    """

    vector: Vectors | None = None
    text: str | None = None
    image: Pixels | None = None
    exclude: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))
    where: str | None = None

    def __repr__(self) -> str:
        vector = "none" if self.vector is None else f"{len(self.vector)} numbers"
        image = "none" if self.image is None else f"{self.image.shape[1]} x {self.image.shape[0]} pixels"
        more = f", {len(self.exclude)} keys excluded" * bool(len(self.exclude)) + f", where {self.where}" * bool(self.where)
        return f"<Query text {self.text!r}, image {image}, vector {vector}{more}>"


@dataclass(frozen=True, eq=False)
class Hits:
    """Answers to Q queries, best first.

    Attributes:
        keys: int64 [Q, k]; -1 beyond a row's count.
        scores: float32 [Q, k]; inner products (or text-match scores), not increasing; -inf beyond the count.
        counts: int64 [Q], each <= k.
    """

    keys: IntArray
    scores: npt.NDArray[np.float32]
    counts: IntArray

    def __repr__(self) -> str:
        rows = [
            ", ".join(f"{key} ({score:.3f})" for key, score in zip(keys[: min(n, 5)], scores, strict=False)) + ", ..." * (n > 5)
            for keys, scores, n in zip(self.keys[:3].tolist(), self.scores[:3].tolist(), self.counts.tolist(), strict=False)
        ]
        found = "; ".join(row or "nothing" for row in rows) + "; ..." * (len(self.keys) > 3)
        return f"<Hits Q = {len(self.keys)}, k = {self.keys.shape[1]}: {found}>"

    @classmethod
    def of(cls, rows: Sequence[tuple[IntArray, npt.NDArray[np.float32]]], k: int) -> Hits:
        """The k best of each row's (keys, scores), in any order and number; ties by key, the smaller first."""
        hits = cls(
            np.full((len(rows), k), -1, np.int64), np.full((len(rows), k), -np.inf, np.float32), np.zeros(len(rows), np.int64)
        )
        for i, (keys, scores) in enumerate(rows):
            best = np.lexsort((keys, -scores))[:k]
            hits.keys[i, : len(best)], hits.scores[i, : len(best)] = keys[best], scores[best]
            hits.counts[i] = len(best)
        return hits


@dataclass(frozen=True, eq=False)
class Entries:
    """Rows to index: keys int64 [N], distinct; vectors float32 [N, dimension]; texts, where the engine accepts them."""

    keys: IntArray
    vectors: Vectors
    texts: Sequence[str] | None = None

    def __repr__(self) -> str:
        more = "" if self.texts is None else ", with texts"
        return f"<Entries {len(self.keys)} rows of {self.vectors.shape[-1]} numbers{more}>"


class Retriever(Component, ABC):
    """Maximum inner product, or text match, over the bank's own row keys (any int64, mapped where an engine wants 0..n-1).

    Attributes:
        accepts: what queries and entries must carry: {"vector"}, {"text"} or both; empty for a retriever that finds nothing.
        capabilities: what it can do beyond building once and searching; anything else raises ComponentError.
        exact: whether it always finds the true best (a bank need not ask for spare candidates).
    """

    accepts: ClassVar[frozenset[str]] = frozenset({"vector"})
    capabilities: ClassVar[frozenset[RetrieverCapability]] = frozenset()
    exact: bool = False

    @property
    @abstractmethod
    def size(self) -> int:
        """Number of keys that can be found."""

    @abstractmethod
    def add(self, entries: Entries) -> None:
        """Adds rows. The first call may train; later calls need the capability `grows`. Raises InputError for a key twice."""

    @abstractmethod
    def remove(self, keys: IntArray) -> None:
        """Removes rows (capability `deletes`); unknown keys are ignored."""

    @abstractmethod
    def search(self, queries: Sequence[Query], k: int) -> Hits:
        """The k best of each query, without its excluded keys. An empty index, or k > size, gives lower counts, no error."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Writes the index into an existing empty folder."""

    @classmethod
    @abstractmethod
    def open(cls, folder: Path, options: Options) -> Self:
        """The index that `save` wrote, with these options. Raises AssetError where the folder does not hold one."""

    # --- what engines check alike ---

    def rows_of(self, entries: Entries, dimension: int | None, there: IntArray) -> tuple[IntArray, Vectors]:
        """Keys int64 [N] and vectors float32 [N, D] of entries that may be added; call it before anything changes.

        Args:
            dimension: of the rows that are there; None for any. there: the keys that are there.

        Raises InputError: a key twice, not as many vectors as keys, another dimension.
        """
        keys, vectors = np.asarray(entries.keys, np.int64), np.asarray(entries.vectors, np.float32)
        if vectors.ndim != 2 or keys.shape != vectors.shape[:1]:
            raise InputError(
                f"Keys of shape {keys.shape} and vectors of shape {vectors.shape} do not fit.", "Give each key one vector."
            )
        if len(np.unique(keys)) < len(keys) or np.isin(keys, there).any():
            raise InputError("A key was added twice.", "Remove it first.")
        if len(keys):
            self._check_dimension("row", vectors.shape[1], dimension)
        return keys, vectors

    def vector_of(self, query: Query, dimension: int | None) -> Vectors:
        """The vector float32 [D] of a query that may be asked of rows of `dimension` (None for any).

        Raises InputError: it has none, or one of another dimension. ComponentError: a filter, without the capability `filters`.
        """
        name = self.id or type(self).__name__
        if query.vector is None:
            raise InputError(f"{name} searches by vector, and the query has none.", "Embed the query first.")
        if query.where is not None and "filters" not in self.capabilities:
            raise ComponentError(f"{name} cannot filter by metadata.", "Leave `where` out.")
        vector = np.asarray(query.vector, np.float32)
        if vector.ndim != 1:
            raise InputError(f"The vector of a query has the shape {vector.shape}.", "Give one vector [dimension].")
        self._check_dimension("query", len(vector), dimension)
        return vector

    def _check_dimension(self, what: str, given: int, there: int | None) -> None:
        if there is not None and given != there:
            raise InputError(
                f"A {what} has {given} dimensions, and the index of {self.id or type(self).__name__} has {there}.",
                "Use the embedder that the index was built with.",
            )

    def index_key(self) -> str:
        """Identity of the index that this builds: the fingerprint, less options marked `json_schema_extra={"search": True}`."""
        fields = type(self.options).model_fields
        search = {
            n: f.default
            for n, f in fields.items()
            if isinstance(f.json_schema_extra, dict) and f.json_schema_extra.get("search")
        }
        twin = type(self)(self.options.model_copy(update=search))
        twin.id = self.id
        return twin.fingerprint()
