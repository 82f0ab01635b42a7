"""Retrievers that filter wrongly: each is a right one but for one fault, and the contract names the rule that it breaks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from calumma.contracts import RetrieverContract
from calumma.contracts.samples.retriever import DotRetriever
from calumma.errors import InputError
from calumma.interfaces import Hits, Retriever

from .breaking import assert_caught, broken_rules


class CannotFilter(DotRetriever):
    """A right one: it says that it cannot, and refuses."""

    capabilities = frozenset({"deletes", "grows"})


class IgnoresOnly(DotRetriever):
    def answers(self, query):
        return super().answers(replace(query, only=None))


class IgnoresOnlyUnasked(IgnoresOnly):
    """Says that it cannot filter, and answers as if there were no filter."""

    capabilities = frozenset({"deletes", "grows"})


class FiltersAfterwards(DotRetriever):
    """Fetches a few times as many as it is asked for, and leaves out what is not allowed."""

    def search(self, queries, k):
        hits = super().search([replace(query, only=None) for query in queries], 4 * k)
        rows = []
        for keys, scores, count, query in zip(hits.keys, hits.scores, hits.counts, queries, strict=True):
            allowed = np.isin(keys[:count], keys[:count] if query.only is None else query.only)
            rows.append((keys[:count][allowed], scores[:count][allowed]))
        return Hits.of(rows, k)


class LooksNearby(DotRetriever):
    """Filters while it walks, and stops walking after a hundred rows."""

    def answers(self, query):
        if query.only is None:
            return super().answers(query)
        keys, scores = super().answers(replace(query, only=None))
        near = np.argsort(-scores)[:100]
        allowed = np.isin(keys[near], query.only)
        return keys[near][allowed], scores[near][allowed]


class EmptyAllowsAll(DotRetriever):
    def answers(self, query):
        return super().answers(replace(query, only=None) if query.only is not None and not len(query.only) else query)


class KnowsEveryKey(DotRetriever):
    def answers(self, query):
        if query.only is not None and not np.isin(query.only, self.keys).all():
            raise InputError("There is an unknown key in the filter.")
        return super().answers(query)


class OneFilterForAll(DotRetriever):
    def search(self, queries, k):
        return super().search([replace(query, only=queries[0].only) for query in queries], k)


class SortsTheFilter(DotRetriever):
    def answers(self, query):
        if query.only is not None:
            query.only.sort()
        return super().answers(query)


class AllowsTheExcluded(DotRetriever):
    def answers(self, query):
        return super().answers(query if query.only is None else replace(query, exclude=query.exclude[:0]))


class GuessesWhere(DotRetriever):
    """Takes a filter that no bank resolved for none."""

    def vector_of(self, query, dimension):
        return super().vector_of(replace(query, where=None), dimension)


CAUGHT = [
    (IgnoresOnly, "test_only_allowed_keys_are_found"),
    (IgnoresOnlyUnasked, "test_filters_are_never_ignored"),
    (FiltersAfterwards, "test_only_allowed_keys_are_found"),
    (FiltersAfterwards, "test_one_allowed_key_among_many_is_found"),
    (LooksNearby, "test_one_allowed_key_among_many_is_found"),
    (EmptyAllowsAll, "test_a_filter_that_allows_nothing_finds_nothing"),
    (KnowsEveryKey, "test_one_allowed_key_among_many_is_found"),
    (KnowsEveryKey, "test_a_filter_that_allows_nothing_finds_nothing"),
    (OneFilterForAll, "test_a_filter_is_of_its_query_alone"),
    (SortsTheFilter, "test_a_filter_is_of_its_query_alone"),
    (AllowsTheExcluded, "test_excluded_keys_cost_no_answers"),
    (GuessesWhere, "test_filters_are_never_ignored"),
]


@pytest.mark.parametrize(("component", "rule"), CAUGHT, ids=lambda one: getattr(one, "__name__", ""))
def test_a_broken_retriever_is_caught_by_the_rule_that_it_breaks(component: type[Retriever], rule: str) -> None:
    assert_caught(RetrieverContract, component, rule)


def test_one_that_refuses_filters_breaks_no_rule() -> None:
    assert broken_rules(RetrieverContract, CannotFilter) == {}
