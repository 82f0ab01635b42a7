"""What all our selections do alike: ask by the text and the picture of a prompt, and walk through what was found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np

from calumma.documents import Document
from calumma.documents.document import IntArray
from calumma.interfaces import DocumentStore, Hits, Noise, Query, Retrieved, Selection, Vectors
from calumma_plugins.selection.options import SelectionOptions


class AskingSelection(Selection):
    """Asks by the texts, and by the first picture that has pixels; one that is partly masked is not asked by."""

    options: SelectionOptions

    def __init__(self, options: SelectionOptions) -> None:
        super().__init__(options)
        self.filters = options.where is not None

    def queries(self, document: Document, noise: Noise) -> dict[str, Query]:
        """Those named "text" and "image" that `by` and the document allow."""
        asked: dict[str, Query] = {}
        where = self.options.where
        words = document.text.split()
        if words and self.options.by != "image":
            asked["text"] = Query(text=" ".join(self.kept(words, noise)), where=where)
        image = document.image
        if image is not None and image.pixels is not None and image.masked is None and self.options.by != "text":
            asked["image"] = Query(image=image.pixels, where=where)
        return asked

    def kept(self, words: list[str], noise: Noise) -> list[str]:
        """The words to ask by."""
        return words


@dataclass(frozen=True)
class Candidate:
    """A hit: its key, its score, and the name of the query that found it."""

    key: int
    score: float
    query: str

    def retrieved(self, document: Document, store: DocumentStore) -> Retrieved | None:
        """The document of the hit; None where that is the prompt's own."""
        (one,) = store.documents([self.key])
        if document.id is not None and one.id == document.id:
            return None
        return Retrieved(one, self.key, self.score, self.query)


def candidates_of(name: str, hits: Hits) -> list[Candidate]:
    """The hits of one query, best first: their order is what counts, since a text match scores on a scale of its own."""
    count = int(hits.counts[0])
    keys, scores = hits.keys[0, :count].tolist(), hits.scores[0, :count].tolist()
    return [Candidate(key, score, name) for key, score in zip(keys, scores, strict=True)]


def in_turns(queries: Mapping[str, Query], hits: Mapping[str, Hits]) -> list[Candidate]:
    """The hits of all queries, each document once: the best of each query, then the second of each."""
    turns = [candidates_of(name, hits[name]) for name in queries if name in hits]
    found = (one for turn in zip_longest(*turns) for one in turn if one is not None)
    seen: dict[int, Candidate] = {}
    for one in found:
        seen.setdefault(one.key, one)
    return list(seen.values())


def products(rows: Vectors, vector: Vectors) -> Vectors:
    """Inner products float32 [N] of rows [N, D] with a vector [D], each alone, so that no other row changes its last bit."""
    return np.asarray((rows.astype(np.float64) * vector).sum(axis=1), np.float32)


def keys_of(candidates: list[Candidate]) -> IntArray:
    """Row keys int64 [N]."""
    return np.array([one.key for one in candidates], np.int64)
