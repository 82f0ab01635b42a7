"""Which ids may come next in a hole of a CM3Leon document: exactly an image's cells, or a text and its closing id."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from calumma.documents.document import BoolArray, IntArray
from calumma.documents.layout import Constraint
from calumma.documents.vocabulary import Vocabulary


@lru_cache(maxsize=65536)
def only(id: int) -> IntArray:
    """The set of one id, the same object every time."""
    array = np.array([id], np.int64)
    array.flags.writeable = False
    return array


@lru_cache(maxsize=256)
def text_or(vocabulary: Vocabulary, closing: tuple[int, ...]) -> IntArray:
    """All text ids and the closing ids, the same object every time."""
    array = np.concatenate([vocabulary.text_ids, np.array(sorted(closing), np.int64)])
    array.flags.writeable = False
    return array


class ImageConstraint(Constraint):
    """A run of raster cells: any image id where a cell is to be drawn, the known id where it is not, then the closing id.

    Args:
        known: int64 [n], image *ids* (not codes) of the span's cells; what it says of masked cells is not read.
        masked: bool [n], True where a cell is to be drawn.
        closing: the id that ends a moved span; None for a hole that continues in place.
    """

    modality = "image"

    def __init__(self, vocabulary: Vocabulary, known: IntArray, masked: BoolArray, closing: int | None) -> None:
        self.cells = len(masked)
        self.capacity = self.cells + (closing is not None)
        self._any = vocabulary.image_ids
        self._known = known
        self._masked = masked
        self._closing = closing

    def allowed(self, offset: int, previous: Sequence[int]) -> IntArray | None:
        if offset < self.cells:
            return self._any if self._masked[offset] else only(int(self._known[offset]))
        return only(self._closing) if offset == self.cells and self._closing is not None else None


class TextConstraint(Constraint):
    """One to `limit` text ids, then a closing id, which is forced at the limit.

    Args:
        closing: ids that end the text; the first is the one that is forced.
    """

    modality = "text"

    def __init__(self, vocabulary: Vocabulary, limit: int, closing: tuple[int, ...]) -> None:
        self.capacity = limit + 1
        self.closing = frozenset(closing)
        self._first = vocabulary.text_ids
        self._later = text_or(vocabulary, closing)
        self._last = only(closing[0])
        self._limit = limit

    def allowed(self, offset: int, previous: Sequence[int]) -> IntArray | None:
        if offset == 0:
            return self._first
        if int(previous[-1]) in self.closing:
            return None
        return self._later if offset < self._limit else self._last
