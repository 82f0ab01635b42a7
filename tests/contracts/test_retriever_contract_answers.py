"""Retrievers that answer wrongly: each is a right one but for one fault, and the contract names the rule that it breaks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from calumma.contracts import RetrieverContract
from calumma.contracts.samples.retriever import DotRetriever, WordRetriever
from calumma.interfaces import Hits, Query, Retriever

from .breaking import assert_caught


class WorstFirst(DotRetriever):
    def search(self, queries, k):
        hits = super().search(queries, k)
        for i, count in enumerate(hits.counts):
            hits.keys[i, :count], hits.scores[i, :count] = hits.keys[i, :count][::-1], hits.scores[i, :count][::-1]
        return hits


class Positions(DotRetriever):
    def search(self, queries, k):
        hits = super().search(queries, k)
        places = {int(key): place for place, key in enumerate(self.keys)}
        return replace(
            hits, keys=np.array([[places.get(int(key), -1) for key in row] for row in hits.keys]).reshape(hits.keys.shape)
        )


class ThroughFloats(DotRetriever):
    def search(self, queries, k):
        hits = super().search(queries, k)
        return replace(hits, keys=(hits.keys // 1024) * 1024)


class ShortKeys(DotRetriever):
    def search(self, queries, k):
        hits = super().search(queries, k)
        return replace(hits, counts=hits.counts.astype(np.int32))


class Padded(DotRetriever):
    def search(self, queries, k):
        hits = super().search(queries, k)
        hits.scores[np.arange(k) >= hits.counts[:, None]] = 0
        return hits


class CountsToK(DotRetriever):
    def search(self, queries, k):
        hits = super().search(queries, k)
        return replace(hits, counts=np.full(len(queries), k))


class Forgetful(DotRetriever):
    def answers(self, query):
        return super().answers(Query(query.vector, query.text, where=query.where))


class ExcludesAfterwards(DotRetriever):
    def search(self, queries, k):
        hits = super().search([Query(query.vector, query.text, where=query.where) for query in queries], k)
        rows = [(keys[:count], scores[:count]) for keys, scores, count in zip(hits.keys, hits.scores, hits.counts, strict=True)]
        allowed = [~np.isin(keys, query.exclude) for (keys, _), query in zip(rows, queries, strict=True)]
        return Hits.of([(keys[one], scores[one]) for (keys, scores), one in zip(rows, allowed, strict=True)], k)


class Cosine(DotRetriever):
    def answers(self, query):
        lengths = np.linalg.norm(self.vectors, axis=1, keepdims=True)
        kept, self.vectors = self.vectors, self.vectors / np.maximum(lengths, 1e-9)
        try:
            return super().answers(query)
        finally:
            self.vectors = kept


class Distances(DotRetriever):
    def answers(self, query):
        keys, scores = super().answers(query)
        return keys, 2 * scores - 2


class Sampling(DotRetriever):
    def answers(self, query):
        keys, scores = super().answers(query)
        some = scores > np.random.default_rng(0).normal(0, 1, len(keys))
        return keys[some], scores[some]


class TiesByPlace(DotRetriever):
    def search(self, queries, k):
        rows = [self.answers(query) for query in queries]
        order = [np.argsort(-scores, kind="stable") for _, scores in rows]
        hits = super().search(queries, k)
        for i, (keys, scores) in enumerate(rows):
            count = hits.counts[i]
            hits.keys[i, :count], hits.scores[i, :count] = keys[order[i]][:count], scores[order[i]][:count]
        return hits


class FailsWhenEmpty(DotRetriever):
    def answers(self, query):
        if not self.size:
            raise ValueError("empty")
        return super().answers(query)


class WordsAtRandom(WordRetriever):
    def answers(self, query):
        keys, scores = super().answers(query)
        return keys, np.roll(scores, 1)


CAUGHT = [
    (WorstFirst, "test_the_best_come_first_and_once"),
    (Positions, "test_keys_come_back_as_they_were_given"),
    (ThroughFloats, "test_keys_come_back_as_they_were_given"),
    (ShortKeys, "test_hits_have_their_shapes"),
    (Padded, "test_hits_have_their_shapes"),
    (CountsToK, "test_more_than_there_is_gives_what_there_is"),
    (Forgetful, "test_excluded_keys_cost_no_answers"),
    (ExcludesAfterwards, "test_excluded_keys_cost_no_answers"),
    (Cosine, "test_longer_vectors_win"),
    (Distances, "test_scores_are_inner_products"),
    (Sampling, "test_it_finds_the_true_best"),
    (TiesByPlace, "test_ties_go_to_the_smaller_key"),
    (FailsWhenEmpty, "test_an_empty_index_finds_nothing"),
    (WordsAtRandom, "test_keys_come_back_as_they_were_given"),
]


@pytest.mark.parametrize(("component", "rule"), CAUGHT, ids=lambda one: getattr(one, "__name__", ""))
def test_a_broken_retriever_is_caught_by_the_rule_that_it_breaks(component: type[Retriever], rule: str) -> None:
    assert_caught(RetrieverContract, component, rule)
