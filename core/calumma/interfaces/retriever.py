"""Kind `retriever`: an index over a bank's vectors or texts."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from operator import gt
from pathlib import Path
from typing import Literal, Self

import numpy as np
import numpy.typing as npt

from calumma.documents.document import IntArray, Pixels
from calumma.errors import ComponentError, InputError
from calumma.interfaces.component import Component, Options, Part
from calumma.interfaces.embedder import Vectors

RetrieverCapability = Literal["deletes", "filters", "grows", "maps memory", "remote"]
RetrieverMetric = Literal["inner product", "bm25", "reciprocal rank"]
NO_KEYS: IntArray = np.zeros(0, np.int64)
NO_KEYS.flags.writeable = False
FLOAT32 = np.dtype(np.float32)
NO_VECTORS: Vectors = np.zeros(0, np.float32)


@dataclass(frozen=True, eq=False, slots=True)
class Query:
    """One question to a bank: by vector, by text, or by a picture that the pipeline embeds (`vector` filled in before search).

    Attributes:
        vector: float32 [dimension], length 1.
        text, image: what the vector is (to be) computed from; engines that match words read `text`.
        exclude: int64 row keys that must not be returned.
        only: int64 row keys, none but which may be returned; None allows all. Engines with the capability `filters` obey it.
        where: a filter on metadata; the bank turns it into `only` before an engine is asked.
    """

    vector: Vectors | None = None
    text: str | None = None
    image: Pixels | None = None
    exclude: IntArray = field(default_factory=lambda: NO_KEYS)
    only: IntArray | None = None
    where: str | None = None

    def __repr__(self) -> str:
        vector = "none" if self.vector is None else f"{len(self.vector)} numbers"
        image = "none" if self.image is None else f"{self.image.shape[1]} x {self.image.shape[0]} pixels"
        more = f", {len(self.exclude)} keys excluded" * bool(len(self.exclude)) + f", where {self.where}" * bool(self.where)
        more += "" if self.only is None else f", of {len(self.only)} keys"
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

    @classmethod
    def best(cls, keys: IntArray, scores: npt.NDArray[np.float32], k: int) -> Hits:
        """The same for all queries at once: keys int64 and scores float32 [Q, M], where -inf stands for no hit."""
        if scores.shape[1] == k > 0 and _falls(scores):  # as most engines give them
            return cls(keys, scores, np.array([k] * len(keys)))
        order = np.lexsort((keys, -scores), axis=-1)[:, : max(k, 0)]
        rows, missing = np.arange(len(keys))[:, None], k - order.shape[1]
        scores = scores[rows, order]
        there = scores > -np.inf
        keys = np.where(there, keys[rows, order], -1)
        if missing > 0:
            keys = np.pad(keys, ((0, 0), (0, missing)), constant_values=-1)
            scores = np.pad(scores, ((0, 0), (0, missing)), constant_values=-np.inf)
        return cls(keys, scores, there.sum(axis=1))


def _falls(scores: npt.NDArray[np.float32]) -> bool:
    """Whether every row falls strictly, to what is no hit's score: never to -inf."""
    if len(scores) == 1:  # one by one: numpy's code has left the caches while an engine read its vectors
        row = scores.tolist()[0]
        return row[-1] > -np.inf and all(map(gt, row, row[1:]))
    return bool((scores[:, 1:] < scores[:, :-1]).all() and scores[:, -1].min() > -np.inf)


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

    A search may run in several threads at once; `add` and `remove` may not, nor while one searches.

    Attributes:
        accepts: what queries and entries must carry: {"vector"}, {"text"} or both; empty for a retriever that finds nothing.
        capabilities: what it can do beyond building once and searching; anything else raises ComponentError.
        metric: what its scores are. A bank scores inner products anew from its stored vectors; any other order it leaves.
        exact: whether it always finds the true best (a bank need not ask for spare candidates).
        train_rows: how many rows `train` wants at the most; 0 where there is nothing to learn.
    """

    accepts: frozenset[str] = frozenset({"vector"})
    capabilities: frozenset[RetrieverCapability] = frozenset()
    metric: RetrieverMetric = "inner product"
    exact: bool = False
    train_rows: int = 0

    @property
    @abstractmethod
    def size(self) -> int:
        """Number of keys that can be found."""

    def train(self, vectors: Vectors, total: int) -> None:
        """Learns from a sample, float32 [N, D] in no order, of the `total` rows that will come; before the first `add`.

        Who adds without it has the engine learn from the rows of the first call. By default there is nothing to learn.
        """

    @abstractmethod
    def add(self, entries: Entries) -> None:
        """Adds rows. The first call may train; later calls need the capability `grows`. Raises InputError for a key twice.

        InputError too for vectors that are not finite, or of another dimension. A refused call adds nothing.
        """

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

    @classmethod
    def drop(cls, folder: Path) -> None:
        """Frees what an index holds elsewhere, before the folder that `save` wrote is removed. By default it is all there."""

    def close(self) -> None:
        """Lets go of connections; a search afterwards may raise ComponentError. By default there are none."""

    # --- what engines check alike ---

    def rows_of(self, entries: Entries, dimension: int | None, there: IntArray) -> tuple[IntArray, Vectors]:
        """Keys int64 [N] and vectors float32 [N, D] of entries that may be added; call it before anything changes.

        Args:
            dimension: of the rows that are there; None for any. there: the keys that are there.

        Raises InputError: a key twice, not as many vectors as keys, another dimension, NaN or infinity.
        """
        keys, vectors = np.asarray(entries.keys, np.int64), np.asarray(entries.vectors, np.float32)
        if vectors.ndim != 2 or keys.shape != vectors.shape[:1]:
            raise InputError(
                f"Keys of shape {keys.shape} and vectors of shape {vectors.shape} do not fit.", "Give each key one vector."
            )
        if len(np.unique(keys)) < len(keys) or (len(there) and np.isin(keys, there).any()):
            raise InputError("A key was added twice.", "Remove it first.")
        if len(keys):
            self._check_dimension("row", vectors.shape[1], dimension)
        _check_finite("row", vectors)
        return keys, vectors

    def check_filter(self, query: Query) -> None:
        """Raises ComponentError where a query has a filter that this engine cannot obey, or that nobody resolved."""
        name = self.id or type(self).__name__
        if "filters" not in self.capabilities and (query.only is not None or query.where is not None):
            raise ComponentError(f"{name} cannot filter.", "Leave `where` out, or use a retriever that filters.")
        if query.where is not None and query.only is None:
            raise ComponentError(f"{name} was given a filter that no bank resolved.", "Ask through the bank, or give `only`.")

    def vectors_of(self, queries: Sequence[Query], dimension: int | None) -> Vectors:
        """The vectors float32 [Q, D] of queries that may be asked of rows of `dimension` (None for any).

        Raises:
            InputError: one has no vector, or one of another dimension, or one with NaN or infinity.
            ComponentError: a filter, without the capability `filters`.
        """
        for query in queries:
            if query.only is not None or query.where is not None:
                self.check_filter(query)
        try:
            lone = queries[0].vector if len(queries) == 1 else None
            if isinstance(lone, np.ndarray) and lone.dtype is FLOAT32:
                rows = lone[None]
            else:
                rows = np.array([query.vector for query in queries], np.float32)
        except (TypeError, ValueError):  # not all alike
            rows = NO_VECTORS
        if rows.ndim != 2 or (dimension is not None and rows.shape[1] != dimension):
            self._check_vectors(queries, dimension)
            return np.zeros((0, dimension or 0), np.float32)
        _check_finite("query", rows)
        return rows

    def _check_vectors(self, queries: Sequence[Query], dimension: int | None) -> None:
        """Raises InputError for the first query whose vector does not fit."""
        for query in queries:
            if query.vector is None:
                name = self.id or type(self).__name__
                raise InputError(f"{name} searches by vector, and the query has none.", "Embed the query first.")
            vector = np.asarray(query.vector, np.float32)
            if vector.ndim != 1:
                raise InputError(f"The vector of a query has the shape {vector.shape}.", "Give one vector [dimension].")
            dimension = len(vector) if dimension is None else dimension
            self._check_dimension("query", len(vector), dimension)

    def vector_of(self, query: Query, dimension: int | None) -> Vectors:
        """The same for one query: float32 [D]."""
        return np.asarray(self.vectors_of([query], dimension)[0], np.float32)

    def _check_dimension(self, what: str, given: int, there: int | None) -> None:
        if there is not None and given != there:
            raise InputError(
                f"A {what} has {given} dimensions, and the index of {self.id or type(self).__name__} has {there}.",
                "Use the embedder that the index was built with.",
            )

    def index_key(self) -> str:
        """Identity of the index that this builds: the fingerprint, less options marked `json_schema_extra={"search": True}`."""
        return self._as_built().fingerprint()

    def _as_built(self) -> Retriever:
        """A twin whose options of searching, and those of its parts, are the defaults."""
        changes: dict[str, object] = {}
        for name, info in type(self.options).model_fields.items():
            value = getattr(self.options, name)
            if isinstance(info.json_schema_extra, dict) and info.json_schema_extra.get("search"):
                changes[name] = info.default
            elif isinstance(value, Part):
                changes[name] = _part_as_built(value)
            elif isinstance(value, list):
                changes[name] = [_part_as_built(one) if isinstance(one, Part) else one for one in value]
        twin = type(self)(self.options.model_copy(update=changes))
        twin.id = self.id
        return twin


def _part_as_built(part: Part) -> Part:
    component = part.component
    return replace(part, component=component._as_built()) if isinstance(component, Retriever) else part


def _check_finite(what: str, vectors: Vectors) -> None:
    """Raises InputError. A sum of squares shows it at once; where it is not finite the numbers are looked at one by one."""
    if not math.isfinite(np.vdot(vectors, vectors)) and not np.isfinite(vectors).all():
        raise InputError(f"The vector of a {what} holds NaN or infinity.", "Leave it out, or embed it again.")
