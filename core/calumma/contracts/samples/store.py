"""A bank in memory, as far as a selection may look into it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from calumma.documents import Document, IntArray
from calumma.errors import BankError
from calumma.interfaces import Hits, VectorPart, Vectors, normalised


class MemoryStore:
    """Documents with the vectors of their parts; a document's own is the mean of the two, of length 1, as CM3Leon has it.

    Args:
        keys: int64 [N], distinct. documents: N of them.
        texts, images: float32 [N, D], rows of length 1; zeros where a document lacks that part.

    Attributes:
        asked: every key that was asked for, in that order.
    """

    def __init__(self, keys: IntArray, documents: Sequence[Document], texts: Vectors, images: Vectors) -> None:
        self.keys = keys
        self._documents = dict(zip(keys.tolist(), documents, strict=True))
        self._parts: dict[VectorPart, Vectors] = {"document": normalised(texts + images), "text": texts, "image": images}
        self.asked: list[int] = []

    def documents(self, keys: Sequence[int]) -> list[Document]:
        """Documents of row keys, in that order. Raises BankError for a key that is not here."""
        return [self._documents[key] for key in self._known(keys)]

    def vectors(self, keys: IntArray, part: VectorPart) -> Vectors:
        """float32 [N, D] in the order of `keys`, in an array of its own. Raises BankError for a key that is not here."""
        place = {int(key): i for i, key in enumerate(self.keys)}
        return self._parts[part][[place[key] for key in self._known(keys)]]

    def hits(self, vector: Vectors, k: int) -> Hits:
        """The k best documents for one query, as a bank gives them: exact scores, ties by key."""
        scores = (self._parts["document"].astype(np.float64) @ vector).astype(np.float32)
        return Hits.of([(self.keys, scores)], k)

    def _known(self, keys: Sequence[int] | IntArray) -> list[int]:
        numbers = [int(key) for key in keys]
        self.asked += numbers
        for key in numbers:
            if key not in self._documents:
                raise BankError(f"There is no document with the key {key}.", "Ask for the keys of hits.")
        return numbers
