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
