"""What is asked while tuning: documents of the bank itself, each of which must not find itself, and what they should find."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from calumma.bank.bank import Bank
from calumma.documents import IntArray
from calumma.errors import InputError
from calumma.interfaces import Hits, Query, VectorPart, Vectors

AT_ONCE = 256  # queries of one exact search; bounds its memory


@dataclass(frozen=True, eq=False)
class Questions:
    """Queries and their ground truth.

    Attributes:
        queries: Q of them, each without its own document. k: how many hits are wanted of each.
        least: float32 [Q], the exact score of the k-th best document; of the last where the bank has fewer.
        counts: int64 [Q], how many there are to find, at most k.
    """

    queries: list[Query]
    k: int
    least: npt.NDArray[np.float32]
    counts: IntArray

    def recall(self, found: Sequence[Hits]) -> npt.NDArray[np.float64]:
        """float64 [Q], the share that each query found: recall@k.

        A hit counts if its exact score is at least that of the k-th best, so that of equals it is all the same which was found.

        Args:
            found: one Hits (Q = 1) for each query, of at most k keys with exact scores.
        """
        good = [int((hits.scores[0, : hits.counts[0]] >= least).sum()) for hits, least in zip(found, self.least, strict=True)]
        return np.asarray(good) / self.counts


def ask(bank: Bank, count: int, by: VectorPart, k: int, seed: int) -> Questions:
    """At most `count` questions, drawn by the seed from the documents that have the part, answered by looking at all.

    Raises InputError: no document has it, or the bank is too small to find anything.
    """
    if len(bank) < 2:
        raise InputError(f"The bank {bank.name} has {len(bank)} documents: there is nothing to find.", "Add more to it.")
    keys, vectors = _sample(bank, count, by, seed)
    if not len(keys):
        raise InputError(f"No document of the bank {bank.name} has a vector of its {by}.", "Ask by another: --by document.")
    queries = [Query(vector, exclude=np.array([key])) for key, vector in zip(keys, vectors, strict=True)]
    truth = [hits for i in range(0, len(queries), AT_ONCE) for hits in bank.retrieve(queries[i : i + AT_ONCE], k)]
    counts = np.array([hits.counts[0] for hits in truth])
    least = np.array([hits.scores[0, hits.counts[0] - 1] for hits in truth], np.float32)
    return Questions(queries, k, least, counts)


def _sample(bank: Bank, count: int, by: VectorPart, seed: int) -> tuple[IntArray, Vectors]:
    """Row keys int64 [Q] and vectors float32 [Q, D] of documents that have the part."""
    order = np.random.default_rng(seed).permutation(np.sort(bank.keys))
    keys, vectors = np.zeros(0, np.int64), np.zeros((0, bank.dimension), np.float32)
    for start in range(0, len(order), count):
        some = order[start : start + count]
        rows = bank.vectors(some, by)
        there = rows.any(axis=1)
        keys, vectors = np.concatenate([keys, some[there]])[:count], np.concatenate([vectors, rows[there]])[:count]
        if len(keys) == count:
            break
    return keys, vectors
