"""Exact search over a bank's stored vectors, block by block: no index, and no more memory than a block."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from calumma.errors import InputError
from calumma.interfaces import Entries, Hits, Query, Vectors


def nearest(blocks: Iterable[Entries], queries: Sequence[Query], k: int) -> Hits:
    """The k best inner products of each query over all blocks, without what it excludes or leaves out by `only`."""
    best = Hits.best(np.zeros((len(queries), 0), np.int64), np.zeros((len(queries), 0), np.float32), k)
    if not queries:
        return best
    vectors = np.stack([_vector(query) for query in queries])
    for block in blocks:
        scores = vectors @ block.vectors.T
        for row, query in enumerate(queries):
            if query.only is not None:
                scores[row, ~np.isin(block.keys, query.only)] = -np.inf
            if len(query.exclude):
                scores[row, np.isin(block.keys, query.exclude)] = -np.inf
        if scores.shape[1] > k:  # ties with the k-th stay until keys decide
            least = -np.partition(-scores, k - 1, axis=1)[:, k - 1 : k] if k > 0 else np.full((len(queries), 1), np.inf)
            some = (scores >= least).any(axis=0)
            scores, keys = scores[:, some], block.keys[some]
        else:
            keys = block.keys
        both = np.concatenate([best.keys, np.broadcast_to(keys, scores.shape)], axis=1)
        best = Hits.best(both, np.concatenate([best.scores, scores], axis=1), k)
    return best


def _vector(query: Query) -> Vectors:
    if query.vector is None:
        raise InputError("The query has no vector.", "Embed it first.")
    return query.vector
