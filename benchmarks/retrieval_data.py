"""Vectors to measure retrieval with: a seeded mixture of many clusters of unequal sizes, as embeddings lie; not uniform noise.

Centres lie in groups of about 20, so that clusters are beside others. A cluster spreads along 16 directions of its own and less
in all others; the k-th largest has 1 / sqrt(k) of the largest's rows. All is made in blocks and kept on disk, so that a run
that was stopped goes on with the same numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap

BLOCK = 50_000
QUERIES = 1024
DIRECTIONS, BASES = 16, 64
APART, ALONG, AROUND = 0.6, 0.8, 0.7  # lengths: of a centre's way from its group's, and of a cluster's two spreads
ROWS_PER_CLUSTER, CLUSTERS_PER_GROUP = 250, 20


@dataclass(frozen=True)
class Data:
    """Rows float32 [n, dimension], mapped from disk; queries float32 [1024, dimension] of the same mixture; all of length 1."""

    rows: np.ndarray
    queries: np.ndarray


class Mixture:
    """Clusters that a seed makes."""

    def __init__(self, clusters: int, dimension: int, seed: int) -> None:
        draw = np.random.default_rng([seed, 0])
        groups = _unit(draw.standard_normal((-(-clusters // CLUSTERS_PER_GROUP), dimension), np.float32))
        apart = _unit(draw.standard_normal((clusters, dimension), np.float32))
        self.centres = _unit(groups[draw.integers(0, len(groups), clusters)] + np.float32(APART) * apart)
        self.bases = draw.standard_normal((BASES, DIRECTIONS, dimension), np.float32) / np.sqrt(dimension)
        shares = 1 / np.sqrt(np.arange(1, clusters + 1))
        self.shares = shares / shares.sum()

    def sample(self, n: int, draw: np.random.Generator) -> np.ndarray:
        """float32 [n, dimension] of length 1."""
        which = draw.choice(len(self.centres), n, p=self.shares)
        rows = self.centres[which]
        along = draw.standard_normal((n, DIRECTIONS), np.float32) * np.float32(ALONG / np.sqrt(DIRECTIONS))
        for base in range(BASES):
            some = which % BASES == base
            rows[some] += along[some] @ self.bases[base]
        rows += draw.standard_normal(rows.shape, np.float32) * np.float32(AROUND / np.sqrt(rows.shape[1]))
        return _unit(rows)


def data(n: int, dimension: int, seed: int, work: Path) -> Data:
    """Opens the vectors in a folder, or makes them there."""
    path = work / "rows.npy"
    mixture = Mixture(max(64, n // ROWS_PER_CLUSTER), dimension, seed)
    if not path.exists():
        work.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".part.npy")
        rows = open_memmap(partial, mode="w+", dtype=np.float32, shape=(n, dimension))
        for start in range(0, n, BLOCK):
            size = min(BLOCK, n - start)
            rows[start : start + size] = mixture.sample(size, np.random.default_rng([seed, 1, start]))
        rows.flush()
        del rows
        partial.rename(path)
    return Data(open_memmap(path, mode="r"), mixture.sample(QUERIES, np.random.default_rng([seed, 2])))


def truth(data: Data, k: int, n: int, work: Path) -> np.ndarray:
    """The true k best of the first n rows for each query, int64 [1024, k], by exact/flat."""
    path = work / f"truth-{n}.npy"
    if not path.exists():
        from calumma.interfaces import Entries, Query
        from calumma_plugins.exact.flat import Flat
        from calumma_plugins.exact.options import FlatOptions

        exact = Flat(FlatOptions())
        exact.add(Entries(np.arange(n), data.rows[:n]))
        np.save(path, exact.search([Query(vector=one) for one in data.queries], k).keys)
    return np.load(path)


def recall(keys: np.ndarray, true: np.ndarray) -> float:
    """Mean share of the true best among the found keys: both int64 [Q, k]."""
    pairs = zip(keys.tolist(), true.tolist(), strict=True)
    return float(np.mean([len(set(one) & set(other)) / len(other) for one, other in pairs]))


def _unit(rows: np.ndarray) -> np.ndarray:
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows
