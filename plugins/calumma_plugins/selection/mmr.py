"""selection/mmr: maximal marginal relevance (Carbonell and Goldstein 1998, https://doi.org/10.1145/290941.291025)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from calumma.documents import Document
from calumma.errors import InputError
from calumma.interfaces import DocumentStore, Hits, Noise, Query, Retrieved, Vectors
from calumma_plugins.selection.asking import AskingSelection, Candidate, candidates_of, in_turns, keys_of, products
from calumma_plugins.selection.options import MMROptions


class MMRSelection(AskingSelection):
    """Takes, one after another, the hit with the greatest `balance` x relevance - (1 - `balance`) x redundancy.

    Relevance is the inner product with the query that found it (the greater, where both did), redundancy the greatest inner
    product with a document that was taken before. Of equal ones the earlier hit is taken.
    """

    Options = MMROptions
    options: MMROptions

    def __init__(self, options: MMROptions) -> None:
        super().__init__(options)
        self.candidates = options.candidates

    def select(
        self, document: Document, queries: Mapping[str, Query], hits: Mapping[str, Hits], store: DocumentStore, noise: Noise
    ) -> list[Retrieved]:
        """At most `documents`, the one taken first (the most relevant) last. Raises InputError for a query without a vector."""
        found = in_turns(queries, hits)
        if not found:
            return []
        vectors = store.vectors(keys_of(found), "document")
        relevance, found = _relevance(found, vectors, queries, hits)
        waiting = np.ones(len(found), bool)
        redundancy: Vectors = np.zeros(len(found), np.float32)
        taken: list[Retrieved] = []
        while waiting.any() and len(taken) < self.options.documents:
            worth = self.options.balance * relevance - (1 - self.options.balance) * redundancy
            place = int(np.argmax(np.where(waiting, worth, -np.inf)))
            waiting[place] = False
            one = found[place].retrieved(document, store)
            if one is not None:
                near = products(vectors, vectors[place])
                redundancy = np.asarray(np.maximum(redundancy, near) if taken else near, np.float32)
                taken.append(one)
        return taken[::-1]


def _relevance(
    found: list[Candidate], vectors: Vectors, queries: Mapping[str, Query], hits: Mapping[str, Hits]
) -> tuple[Vectors, list[Candidate]]:
    """The relevance float32 [N] of documents, and each as the hit of the query that it is most relevant to."""
    place = {one.key: i for i, one in enumerate(found)}
    relevance, by = np.full(len(found), -np.inf, np.float32), list(found)
    for name in queries:
        vector = queries[name].vector
        if name not in hits or not hits[name].counts[0]:
            continue
        if vector is None:
            raise InputError(f"The {name} query has no vector.", "Embed it first: selection/mmr compares inner products.")
        near = products(vectors, vector)
        for one in candidates_of(name, hits[name]):
            i = place[one.key]
            if near[i] > relevance[i]:
                relevance[i], by[i] = near[i], one
    return relevance, by
