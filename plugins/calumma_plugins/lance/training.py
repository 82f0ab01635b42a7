"""What an index learns before it is built: where its partitions lie, and how their vectors are quantised.

Lance would learn both itself, each time otherwise; here the same sample gives the same index.
"""

from __future__ import annotations

import numpy as np

from calumma.documents import IntArray
from calumma.interfaces import Vectors

CODES = 256  # of a sub-vector: one byte
ROUNDS = 10
BLOCK = 8192
SEED = 0


def partitions(vectors: Vectors, count: int) -> Vectors:
    """Centroids float32 [count, D] of length 1, by spherical k-means (Dhillon and Modha 2001, doi:10.1023/A:1007612920971).

    Args:
        vectors: a sample, float32 [N, D], N >= count; of any length, of which only the direction counts.
    """
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    units = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    return _kmeans(units, count, spherical=True)


def codebook(vectors: Vectors, parts: int) -> Vectors:
    """256 centroids of each sub-vector, float32 [parts, 256, D / parts]: product quantisation (Jegou et al. 2011)."""
    width = vectors.shape[1] // parts
    return np.stack([_kmeans(vectors[:, start : start + width], CODES) for start in range(0, parts * width, width)])


def _kmeans(rows: Vectors, count: int, spherical: bool = False) -> Vectors:
    """Lloyd's algorithm from rows drawn by a fixed seed; a centroid that nobody is nearest to moves to a row."""
    draw = np.random.default_rng(SEED)
    rows = np.ascontiguousarray(rows)
    centroids = rows[np.sort(draw.choice(len(rows), count, replace=False))].astype(np.float32)
    for _ in range(ROUNDS):
        nearest = _nearest(rows, centroids, spherical)
        order = np.argsort(nearest, kind="stable")
        sizes = np.bincount(nearest, minlength=count)
        used = np.flatnonzero(sizes)
        starts = np.cumsum(sizes) - sizes
        sums = np.add.reduceat(rows[order], starts[used], axis=0)
        centroids[used] = sums / sizes[used, None]
        centroids[sizes == 0] = rows[draw.integers(0, len(rows), int((sizes == 0).sum()))]
        if spherical:
            lengths = np.linalg.norm(centroids, axis=1, keepdims=True)
            centroids = np.divide(centroids, lengths, out=centroids, where=lengths > 0)
    return centroids


def _nearest(rows: Vectors, centroids: Vectors, spherical: bool) -> IntArray:
    half = 0 if spherical else (centroids**2).sum(axis=1) / 2
    return np.concatenate(
        [(rows[start : start + BLOCK] @ centroids.T - half).argmax(axis=1) for start in range(0, len(rows), BLOCK)]
    )
