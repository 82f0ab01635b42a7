"""What the contract of retrievers fills indexes with: awkward keys, vectors, and texts of words that no other text has."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from calumma.documents import IntArray
from calumma.interfaces import Entries, Hits, Query, Vectors

EXTREMES = (-(2**63), 2**63 - 1, -1, 0, 1, 2, 2**53, 2**53 + 1, -(2**53) - 1, 2**31, -(2**31) - 1, 2**62)
COMMON = ("river", "stone", "candle", "window", "forest")
LETTERS = "bdgklmnprtvz"
CLUSTERS, SPREAD = 12, 0.02


@dataclass(frozen=True, eq=False)
class Rows:
    """N rows: keys int64 [N], distinct, in no order; vectors float32 [N, D]; a text for each key."""

    keys: IntArray
    vectors: Vectors
    texts: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.keys)

    def only(self, places: slice | IntArray | list[int]) -> Rows:
        """Some of the rows."""
        numbers = np.arange(len(self))[places]
        return Rows(self.keys[numbers], self.vectors[numbers], tuple(self.texts[i] for i in numbers))

    def entries(self, accepts: frozenset[str]) -> Entries:
        """The rows in arrays of their own; texts where they are accepted."""
        return Entries(self.keys.copy(), self.vectors.copy(), list(self.texts) if "text" in accepts else None)

    def query(self, place: int, accepts: frozenset[str], exclude: IntArray | list[int] | None = None) -> Query:
        """The question that one row answers best: its own vector, its own words."""
        return Query(
            vector=self.vectors[place].copy() if "vector" in accepts else None,
            text=self.texts[place] if "text" in accepts else None,
            exclude=np.array([] if exclude is None else exclude, np.int64),
        )

    def best(self, vector: Vectors, k: int, without: IntArray | None = None) -> tuple[IntArray, Vectors]:
        """Keys and inner products of the k true best, ties by key."""
        hits = Hits.of([(self.keys, (self.vectors.astype(np.float64) @ vector).astype(np.float32))], len(self))
        allowed = ~np.isin(hits.keys[0], np.zeros(0, np.int64) if without is None else without)
        return hits.keys[0][allowed][:k], hits.scores[0][allowed][:k]


def make_rows(n: int, dimension: int, seed: int = 0, first: int = 0) -> Rows:
    """Rows with vectors of length 1; others from `first` on share neither keys nor words with those before."""
    draw = np.random.default_rng([seed, first])
    vectors = draw.normal(size=(n, dimension))
    # an odd step walks through all of int64 without meeting a key twice; 5 modulo 8 are none of the extremes
    walked = [(i * 0x9E3779B97F4A7C15 % 2**61 - 2**60) * 8 + 5 for i in range(first, first + n)]
    keys = np.array([*(EXTREMES if first == 0 else ()), *walked], np.int64)[:n]
    syllables = ["".join(pair) for pair in product(LETTERS, "aou")]
    words = ["".join(parts) for parts in product(syllables, repeat=2)]  # 1,296
    texts = [f"{words[(first + i) % len(words)]} {COMMON[i % len(COMMON)]}" for i in range(n)]
    order = draw.permutation(n)
    unit = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return Rows(keys[order], unit[order], tuple(texts[i] for i in order))


def make_clusters(n: int, dimension: int, seed: int = 0) -> tuple[Rows, Vectors]:
    """Rows of length 1, nine in ten of them in clusters of nearly the same vectors, and queries float32 [40, dimension].

    The largest of the clusters is many times the smallest; queries lie in clusters, beside rows, and nowhere in particular.
    """
    draw, rows = np.random.default_rng([seed, 7]), make_rows(n, dimension, seed)
    shares = 1 / np.arange(1, CLUSTERS + 1)
    centres = draw.normal(size=(CLUSTERS, dimension))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    alone = n // 10

    def near(vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return vectors + draw.normal(scale=SPREAD / np.sqrt(dimension), size=vectors.shape)

    clustered = near(centres[draw.choice(CLUSTERS, n - alone, p=shares / shares.sum())])
    vectors = np.concatenate([clustered, draw.normal(size=(alone, dimension))])[draw.permutation(n)]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    asked = [near(centres[draw.integers(0, CLUSTERS, 20)]), near(vectors[:10]), draw.normal(size=(10, dimension))]
    queries = np.concatenate(asked)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    return Rows(rows.keys, vectors.astype(np.float32), rows.texts), queries.astype(np.float32)


def found(hits: Hits, row: int = 0) -> list[int]:
    """The keys that one query found, best first."""
    return [int(key) for key in hits.keys[row, : hits.counts[row]]]
