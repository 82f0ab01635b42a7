"""Retrievers that fail on clustered data, learn wrongly or boast: each is a right one but for one fault."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from calumma.contracts import RetrieverContract, run
from calumma.contracts.samples.retriever import DotRetriever, WordRetriever
from calumma.errors import ComponentError
from calumma.extension import Catalog, ComponentSpec, hookimpl
from calumma.interfaces import Entries, Retriever

from .breaking import assert_caught


class OneOfEqual(DotRetriever):
    """Vectors that are the same are one to it."""

    exact = False

    def answers(self, query):
        keys, scores = super().answers(query)
        _, first = np.unique(scores, return_index=True)
        return keys[first], scores[first]


class LostInClusters(DotRetriever):
    """A row with many neighbours closer than it looks is found only now and then."""

    exact = False

    def answers(self, query):
        keys, scores = super().answers(query)
        _, place, count = np.unique(scores.round(1), return_inverse=True, return_counts=True)
        kept = (count[place] < 200) | (np.arange(len(keys)) % 5 == 0)
        return keys[kept], scores[kept]


class AddsWhatItLearns(DotRetriever):
    def train(self, vectors, total):
        self.add(Entries(np.arange(len(vectors)), vectors))


class OnlyOnceTrained(DotRetriever):
    """Takes rows that come after `train` for the sample."""

    trained = False

    def train(self, vectors, total):
        self.trained = True

    def add(self, entries):
        if not self.trained:
            super().add(entries)


class LearnsTheMean(DotRetriever):
    """Says that it learns nothing, and scores by what it learned."""

    exact = False
    mean = 0.0

    def train(self, vectors, total):
        self.mean = float(vectors.mean()) + 0.1

    def answers(self, query):
        keys, scores = super().answers(query)
        return keys, scores - self.mean


class NormalisesTheSample(DotRetriever):
    def train(self, vectors, total):
        vectors /= 2


class WantsLess(DotRetriever):
    train_rows = 50

    def train(self, vectors, total):
        if len(vectors) >= 50:
            raise ComponentError("50 rows are too many to learn from.")


class WantsAnything(DotRetriever):
    train_rows = -1


class ForgetsWhenTrainedAgain(DotRetriever):
    def train(self, vectors, total):
        self.keys, self.vectors = self.keys[:0], self.vectors[:0]


class Boastful(DotRetriever):
    capabilities = frozenset({"deletes", "grows", "flies"})


class Cosines(DotRetriever):
    metric = "cosine"


class ProductsOfWords(WordRetriever):
    metric = "inner product"


class EndlessScores(WordRetriever):
    def answers(self, query):
        keys, scores = super().answers(query)
        return keys, np.where(scores == scores.max(initial=0), np.inf, scores).astype(np.float32)


CAUGHT = [
    (OneOfEqual, "test_equal_vectors_are_all_found"),
    (LostInClusters, "test_it_finds_the_true_best_among_clusters"),
    (AddsWhatItLearns, "test_it_learns_from_a_sample"),
    (OnlyOnceTrained, "test_it_learns_from_a_sample"),
    (LearnsTheMean, "test_it_learns_from_a_sample"),
    (NormalisesTheSample, "test_it_learns_from_a_sample"),
    (WantsLess, "test_it_learns_from_a_sample"),
    (WantsAnything, "test_it_learns_from_a_sample"),
    (ForgetsWhenTrainedAgain, "test_it_learns_from_a_sample"),
    (Boastful, "test_capabilities_are_those_of_the_spec"),
    (Cosines, "test_the_metric_is_a_word_that_there_is"),
    (ProductsOfWords, "test_the_metric_is_a_word_that_there_is"),
    (EndlessScores, "test_the_metric_is_a_word_that_there_is"),
]


@pytest.mark.parametrize(("component", "rule"), CAUGHT, ids=lambda one: getattr(one, "__name__", ""))
def test_a_broken_retriever_is_caught_by_the_rule_that_it_breaks(component: type[Retriever], rule: str) -> None:
    assert_caught(RetrieverContract, component, rule)


class Told:
    """A plugin whose spec says less of exact/flat than there is."""

    @staticmethod
    @hookimpl
    def calumma_components() -> Iterator[ComponentSpec]:
        target, options = "calumma_plugins.exact.flat:Flat", "calumma_plugins.exact.options:FlatOptions"
        less = {"deletes": True, "grows": True, "exact": True}
        yield ComponentSpec("retriever", "told/flat", "Finds.", target, options, capabilities=less)


@pytest.mark.parametrize("given", [None, {"block": 7}], ids=["defaults", "options"])
def test_a_spec_that_says_less_than_the_component_does_is_caught(given: dict[str, int] | None) -> None:
    found = Catalog()
    found.add("told", Told())

    class Flat(RetrieverContract):
        component, catalog, options = "told/flat", found, given

    (outcome,) = [one for one in run(Flat) if one.name == "test_capabilities_are_those_of_the_spec"]
    assert "'filters'" in outcome.found
