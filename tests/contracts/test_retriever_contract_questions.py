"""Retrievers that mistake, mix up or take any question: each is a right one but for one fault."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from calumma.contracts import RetrieverContract
from calumma.contracts.samples.retriever import DotRetriever
from calumma.interfaces import Entries, Hits, Retriever

from .breaking import assert_caught


class ExcludesForAll(DotRetriever):
    def search(self, queries, k):
        exclude = np.concatenate([np.zeros(0, np.int64), *(query.exclude for query in queries)])
        return super().search([replace(query, exclude=exclude) for query in queries], k)


class Unseeded(DotRetriever):
    exact = False

    def answers(self, query):
        keys, scores = super().answers(query)
        return keys, scores + np.random.normal(0, 1e-3, len(keys)).astype(np.float32)


class Remembers(DotRetriever):
    least = 0

    def search(self, queries, k):
        self.least = max(self.least, k)
        hits = super().search(queries, self.least)
        return Hits(hits.keys[:, :k], hits.scores[:, :k] - self.least / 1000, np.minimum(hits.counts, k))


class NormalisesInPlace(DotRetriever):
    def search(self, queries, k):
        for query in queries:
            if query.vector is not None:
                query.vector[:] *= 0.5
        return super().search(queries, k)


class SortsKeysInPlace(DotRetriever):
    def add(self, entries):
        super().add(Entries(entries.keys.copy(), entries.vectors, entries.texts))
        entries.keys.sort()


class Borrows(DotRetriever):
    def add(self, entries):
        first = not self.size
        super().add(entries)
        if first:
            self.vectors = entries.vectors


class AnyDimension(DotRetriever):
    def vector_of(self, query, dimension):
        vector = super().vector_of(query, None)
        return np.resize(vector, dimension or len(vector))


class AsksByNothing(DotRetriever):
    def vector_of(self, query, dimension):
        return np.zeros(dimension or 1, np.float32) if query.vector is None else super().vector_of(query, dimension)


class IgnoresFilters(DotRetriever):
    def vector_of(self, query, dimension):
        return super().vector_of(replace(query, where=None), dimension)


class SharesItsQuestion(DotRetriever):
    """Keeps what it is asked where the next search finds it."""

    def search(self, queries, k):
        self.asking = queries, k
        time.sleep(0.002)
        return super().search(*self.asking)


class TakesNaN(DotRetriever):
    def rows_of(self, entries, dimension, there):
        zeros = replace(entries, vectors=np.nan_to_num(entries.vectors, posinf=0, neginf=0))
        keys, _ = super().rows_of(zeros, dimension, there)
        return keys, zeros.vectors


class AsksByNaN(DotRetriever):
    def vector_of(self, query, dimension):
        query = query if query.vector is None else replace(query, vector=np.nan_to_num(query.vector, posinf=0, neginf=0))
        return super().vector_of(query, dimension)


class LearnsFromNaN(DotRetriever):
    train_rows = 100


CAUGHT = [
    (ExcludesForAll, "test_queries_do_not_know_each_other"),
    (Unseeded, "test_two_builds_agree"),
    (Remembers, "test_searching_changes_nothing"),
    (NormalisesInPlace, "test_what_is_given_is_not_changed"),
    (SortsKeysInPlace, "test_what_is_given_is_not_changed"),
    (Borrows, "test_what_was_given_may_change_later"),
    (AnyDimension, "test_queries_that_lack_something_are_refused"),
    (AsksByNothing, "test_queries_that_lack_something_are_refused"),
    (IgnoresFilters, "test_filters_are_never_ignored"),
    (SharesItsQuestion, "test_two_threads_find_the_same"),
    (TakesNaN, "test_vectors_that_are_not_finite_are_refused"),
    (AsksByNaN, "test_vectors_that_are_not_finite_are_refused"),
    (LearnsFromNaN, "test_vectors_that_are_not_finite_are_refused"),
]


@pytest.mark.parametrize(("component", "rule"), CAUGHT, ids=lambda one: getattr(one, "__name__", ""))
def test_a_broken_retriever_is_caught_by_the_rule_that_it_breaks(component: type[Retriever], rule: str) -> None:
    assert_caught(RetrieverContract, component, rule)
