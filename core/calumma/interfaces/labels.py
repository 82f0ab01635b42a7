"""For engines that number their rows 0, 1, 2, ...: which number has which of the bank's keys, and how a batch is asked."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
from numpy.lib.format import open_memmap

from calumma.documents.document import BoolArray, IntArray
from calumma.interfaces.embedder import Vectors
from calumma.interfaces.retriever import NO_KEYS, Hits, Query

Nearest = Callable[[Vectors, int, BoolArray | None], tuple[IntArray, npt.NDArray[np.float32]]]
MOST_SPARE = 256


@dataclass(frozen=True, eq=False)
class Ask:
    """Queries that an engine is asked at once.

    Attributes:
        queries: int64 [A], their numbers in the batch.
        spare: so many hits more than k are fetched, of which the excluded are left out afterwards.
        allowed: bool by label; None: all.
    """

    queries: IntArray
    spare: int
    allowed: BoolArray | None


class Labels:
    """Keys by label. A removed row leaves its label unused, until `close_up` numbers the rows anew.

    Attributes:
        keys: int64 [n] by label. live: bool [n], whether the row is still there. size: how many are.
    """

    def __init__(self, keys: IntArray | None = None, live: BoolArray | None = None) -> None:
        self.keys: IntArray = np.zeros(0, np.int64) if keys is None else keys
        self.live: BoolArray = np.ones(len(self.keys), np.bool_) if live is None else live
        self.size = int(self.live.sum())
        self._order: tuple[IntArray, IntArray] | None = None  # the keys that are there, ascending, and their labels

    def __len__(self) -> int:
        return len(self.keys)

    def add(self, keys: IntArray) -> IntArray:
        """The labels int64 [N] of keys that are new."""
        labels = np.arange(len(self), len(self) + len(keys))
        self.keys = np.concatenate([self.keys, keys])
        self.live = np.concatenate([self.live, np.ones(len(keys), np.bool_)])
        self.size += len(keys)
        if self._order is not None:
            ascending = np.argsort(keys)
            places = np.searchsorted(self._order[0], keys[ascending])
            added = (keys[ascending], labels[ascending])
            self._order = (np.insert(self._order[0], places, added[0]), np.insert(self._order[1], places, added[1]))
        return labels

    def remove(self, labels: IntArray) -> None:
        """Marks labels, distinct and live, as unused."""
        self.live[labels] = False
        self.size -= len(labels)
        if self._order is not None:
            kept = self.live[self._order[1]]
            self._order = self._order[0][kept], self._order[1][kept]

    def close_up(self) -> None:
        """Numbers the rows that are there 0, 1, 2, ..., in the order that they have."""
        if self.size < len(self):
            self.keys, self.live, self._order = self.keys[self.live], np.ones(self.size, np.bool_), None

    def find(self, keys: IntArray) -> IntArray:
        """The labels, ascending, of those of some keys that are there."""
        if self._order is None:
            labels = np.flatnonzero(self.live)
            ascending = labels[np.argsort(self.keys[labels])]
            self._order = self.keys[ascending], ascending
        known, labels = self._order
        wanted = np.unique(keys)
        places = np.searchsorted(known, wanted)
        there = places < len(known)
        there[there] = known[places[there]] == wanted[there]
        return np.sort(labels[places[there]])

    def known(self, keys: IntArray) -> IntArray:
        """Those of some keys that are there: what `Retriever.rows_of` looks among."""
        return self.keys[self.find(keys)]

    # --- searching ---

    def search(self, queries: Sequence[Query], vectors: Vectors, k: int, nearest: Nearest, *, filters: bool = True) -> Hits:
        """The k best of each query: excluded keys left out, none but allowed ones, whole batches asked at once.

        Args:
            vectors: float32 [Q, D] of the queries.
            nearest: (vectors [A, D], wanted, allowed) to labels int64 and scores float32 [A, M]: the `wanted` best of each, in
                any order; a score of -inf where there is none. `allowed`, bool by label, says which rows may be returned;
                None: all that are there. `wanted` is at least 1 and never more than the rows that may be returned.
            filters: whether `nearest` obeys `allowed`; where not, it is always None.
        """
        if self.size == 0 or k < 1 or not len(queries):
            return _nothing(len(queries), k)
        for query in queries:
            if query.exclude is not NO_KEYS or query.only is not None:  # by identity: at this pace every look counts
                break
        else:
            labels, scores = nearest(vectors, min(k, self.size), None)
            return Hits.best(self.keys[labels], scores, k)
        asks = self._asks(queries, filters)
        if len(asks) == 1:
            return self._answers(queries, vectors, k, asks[0], nearest)
        hits = _nothing(len(queries), k)
        for ask in asks:
            some = self._answers([queries[i] for i in ask.queries], vectors[ask.queries], k, ask, nearest)
            hits.keys[ask.queries], hits.scores[ask.queries], hits.counts[ask.queries] = some.keys, some.scores, some.counts
        return hits

    def _answers(self, queries: Sequence[Query], vectors: Vectors, k: int, ask: Ask, nearest: Nearest) -> Hits:
        there = self.size if ask.allowed is None else int(ask.allowed.sum())
        if not there:
            return _nothing(len(queries), k)
        labels, scores = nearest(vectors, min(k + ask.spare, there), ask.allowed)
        keys = self.keys[labels]
        if ask.spare:
            scores = np.where(_among(keys, [query.exclude for query in queries]), np.float32(-np.inf), scores)
        return Hits.best(keys, scores, k)

    def _asks(self, queries: Sequence[Query], filters: bool) -> list[Ask]:
        """What can be asked together: a query's share in it depends on nothing but itself, so batches change no answer."""
        groups: dict[Hashable, list[int]] = {}
        for number, query in enumerate(queries):
            excluded = len(query.exclude)
            if query.only is not None:
                group: Hashable = (id(query.only), query.exclude.tobytes())
            elif filters and excluded > MOST_SPARE:
                group = query.exclude.tobytes()
            else:
                group = 1 << (excluded - 1).bit_length() if excluded else 0  # 1, 2, 4, ...: few groups
            groups.setdefault(group, []).append(number)
        return [
            Ask(
                np.array(numbers),
                group if isinstance(group, int) else 0,
                None if isinstance(group, int) else self._allowed(queries[numbers[0]]),
            )
            for group, numbers in groups.items()
        ]

    def _allowed(self, query: Query) -> BoolArray:
        if query.only is None:
            allowed = self.live.copy()
        else:
            allowed = np.zeros(len(self), np.bool_)
            allowed[self.find(query.only)] = True
        if len(query.exclude):
            allowed[self.find(query.exclude)] = False
        return allowed

    # --- on disk ---

    def save(self, folder: Path) -> None:
        """Writes keys.npy, and live.npy."""
        np.save(folder / "keys.npy", self.keys)
        np.save(folder / "live.npy", self.live)

    @classmethod
    def open(cls, folder: Path) -> Self:
        """What `save` wrote; keys stay on disk until they are asked for. Raises ValueError or OSError where it is not there."""
        keys, live = (np.asarray(open_memmap(folder / f"{name}.npy", mode="r")) for name in ("keys", "live"))
        if keys.dtype != np.int64 or live.dtype != np.bool_ or keys.ndim != 1 or keys.shape != live.shape:
            raise ValueError("keys.npy and live.npy do not fit")
        if (live.view(np.uint8) > 1).any():
            raise ValueError("live.npy says neither yes nor no")
        return cls(keys, live.copy())


def _nothing(queries: int, k: int) -> Hits:
    return Hits.best(np.zeros((queries, 0), np.int64), np.zeros((queries, 0), np.float32), k)


def _among(keys: IntArray, some: Sequence[IntArray]) -> BoolArray:
    """Whether a key of [A, M] is among those of its own row."""
    numbers = np.unique(np.concatenate([keys.ravel(), *some]), return_inverse=True)[1].ravel()
    rows = np.repeat(np.arange(2 * len(keys)) % len(keys), [keys.shape[1]] * len(keys) + [len(one) for one in some])
    pairs = numbers + rows * (int(numbers.max(initial=0)) + 1)
    return np.isin(pairs[: keys.size], pairs[keys.size :]).reshape(keys.shape)
