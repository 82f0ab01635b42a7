"""Rows to Arrow tables with their vectors, as the bank's schema says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from calumma.bank.schema import BankInfo, require, schema, vector_column
from calumma.bank.writing.rows import Row
from calumma.errors import BankError
from calumma.interfaces import Embedder, Vectors, normalised

if TYPE_CHECKING:
    import pyarrow


def table_of(rows: Sequence[Row], key: int, info: BankInfo, embedder: Embedder) -> tuple[pyarrow.Table, Vectors, Vectors]:
    """A table of rows with the keys from `key` on, and its vectors by text and by image, float32 [N, D], zeros where none.

    Vectors that a row brings are taken over, scaled to length 1. Raises BankError: one has another dimension, or is zero or
    not finite.
    """
    pa = require("pyarrow")
    text_vectors = np.zeros((len(rows), info.dimension), np.float32)
    image_vectors = np.zeros((len(rows), info.dimension), np.float32)
    asked = [not row.brings_vectors for row in rows]
    _embed(
        text_vectors,
        embedder.embed_texts,
        [row.text if ask and row.text else None for row, ask in zip(rows, asked, strict=True)],
    )
    _embed(image_vectors, embedder.embed_prepared, [row.prepared for row in rows])
    _take_over(text_vectors, [row.text_vector for row in rows], rows)
    _take_over(image_vectors, [row.image_vector for row in rows], rows)
    sizes = [row.pixels.shape[:2] if row.pixels is not None else (None, None) for row in rows]
    columns = {
        "key": np.arange(key, key + len(rows)),
        "id": [row.id for row in rows],
        "text": [row.text or None for row in rows],
        "image": [row.image for row in rows],
        "width": [width for _, width in sizes],
        "height": [height for height, _ in sizes],
        "metadata": [row.metadata for row in rows],
        "text_vector": vector_column(text_vectors, np.any(text_vectors, axis=1)),
        "image_vector": vector_column(image_vectors, np.any(image_vectors, axis=1)),
    }
    return pa.table(columns, schema=schema(info)), text_vectors, image_vectors


def _embed(out: Vectors, embed: Callable[[list[Any]], Vectors], given: Sequence[Any]) -> None:
    places = [i for i, one in enumerate(given) if one is not None]
    if places:
        out[places] = embed([given[i] for i in places])


def _take_over(out: Vectors, given: Sequence[Vectors | None], rows: Sequence[Row]) -> None:
    for i, vector in enumerate(given):
        if vector is None:
            continue
        if vector.shape != out[i].shape:
            raise BankError(
                f"{rows[i].name} has a vector of {len(vector)} numbers, and the encoder that is named gives {out.shape[1]}.",
                "Name the encoder that made them with --embedder.",
            )
        given_length = np.linalg.norm(np.asarray(vector, np.float32))
        out[i] = vector if abs(given_length - 1) < 1e-6 else normalised(np.asarray(vector, np.float32))  # no bit changes twice
        if not np.isfinite(out[i]).all() or not out[i].any():
            raise BankError(f"{rows[i].name} has a vector that is zero or not finite.", "Leave it out of the source.")
