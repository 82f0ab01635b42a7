"""The true best of all rows, block by block: rows that may be among them by float32 products, then those scored exactly."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from calumma.documents import BoolArray, IntArray
from calumma.interfaces import Vectors
from calumma_plugins.exact.products import FloatArray, Products

QUERIES = 256  # at once: with the block they bound the memory of a search
PRODUCTS = 2**22  # numbers that are multiplied in float64 at once


def best_rows(
    vectors: Vectors,
    keys: IntArray,
    queries: Vectors,
    k: int,
    *,
    allowed: BoolArray | None,
    longest: float,
    block: int,
    products: Products,
) -> tuple[IntArray, FloatArray]:
    """Labels int64 and scores float32 [Q, k] of the k best rows, ties by key; a score of -inf where there are none.

    The scores are inner products in float64, rounded: whatever the block, the batch or the device, they are the same.

    Args:
        vectors: float32 [N, D]. keys: int64 [N]. queries: float32 [Q, D]. allowed: bool [N]; None: all.
        longest: no row is longer. block: rows at once.
    """
    labels, scores = np.zeros((len(queries), k), np.int64), np.full((len(queries), k), -np.inf, np.float32)
    for first in range(0, len(queries), QUERIES):
        some = slice(first, first + QUERIES)
        asked = queries[some]
        slack = _error(asked, longest)
        for start in range(0, len(vectors), block):
            rows = slice(start, start + block)
            mask = None if allowed is None else allowed[rows]
            if mask is not None and not mask.any():
                continue
            numbers, places = products.likely(asked, start, vectors[rows], mask, scores[some, -1], slack, k)
            if len(numbers):
                _merge(
                    labels[some], scores[some], keys, numbers, start + places, _scores(vectors, asked, numbers, start + places)
                )
    return labels, scores


def _error(queries: Vectors, longest: float) -> FloatArray:
    """How far a product in float32, summed in any order, may be from the true one: float32 [Q] (Higham 2002, section 3.1)."""
    dimension = queries.shape[1]
    lengths = np.sqrt(np.einsum("qd,qd->q", queries, queries, dtype=np.float64))
    return np.asarray((dimension + 4) * 2.0**-24 * longest * lengths, np.float32)


def _scores(vectors: Vectors, queries: Vectors, numbers: IntArray, labels: IntArray) -> FloatArray:
    """Inner products of queries[numbers] and vectors[labels], float32 [C]."""
    scores, step = np.empty(len(numbers), np.float32), max(1, PRODUCTS // vectors.shape[1])
    for start in range(0, len(numbers), step):
        some = slice(start, start + step)
        both = vectors[labels[some]].astype(np.float64)
        both *= queries[numbers[some]]
        scores[some] = both.sum(axis=1)
    return scores


def _merge(
    labels: IntArray, scores: FloatArray, keys: IntArray, numbers: IntArray, others: IntArray, theirs: npt.NDArray[np.float32]
) -> None:
    """Puts rows `others` with scores `theirs`, float32 [C], among the best [Q, k] of the queries `numbers`, in place."""
    queries, k = labels.shape
    row = np.concatenate([np.repeat(np.arange(queries), k), numbers])
    label, score = np.concatenate([labels.ravel(), others]), np.concatenate([scores.ravel(), theirs])
    order = np.lexsort((keys[label], -score, row))
    row = row[order]
    place = np.arange(len(row)) - np.searchsorted(row, np.arange(queries))[row]  # within its query
    kept = order[place < k]
    labels[:], scores[:] = label[kept].reshape(queries, k), score[kept].reshape(queries, k)
