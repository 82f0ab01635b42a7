"""Retrievers that grow or shrink wrongly: each is a right one but for one fault."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from calumma.contracts import RetrieverContract
from calumma.contracts.samples.retriever import DotRetriever, WordRetriever
from calumma.interfaces import Entries, Hits, Retriever

from .breaking import assert_caught


class TakesKeysTwice(DotRetriever):
    def add(self, entries):
        kept, self.keys = self.keys, np.zeros(0, np.int64)
        super().add(entries)
        self.keys = np.append(kept, self.keys)


class HalfAdded(DotRetriever):
    def add(self, entries):
        known = set(self.keys.tolist())
        for place, key in enumerate(entries.keys.tolist()):
            if key in known:
                return super().add(Entries(entries.keys[[place]], entries.vectors[[place]]))
            known.add(key)
            super().add(Entries(entries.keys[place : place + 1], entries.vectors[place : place + 1]))
        return None


class GrowsUnasked(DotRetriever):
    capabilities = frozenset({"deletes"})


class RemovesNothing(DotRetriever):
    def remove(self, keys):
        pass


class RemovesUnasked(DotRetriever):
    capabilities = frozenset({"grows"})


class HidesRemoved(DotRetriever):
    """Removed rows are filtered out after the search, and cost answers."""

    def __init__(self, options):
        super().__init__(options)
        self.gone = np.zeros(0, np.int64)

    @property
    def size(self):
        return len(set(self.keys.tolist()) - set(self.gone.tolist()))

    def remove(self, keys):
        self.gone = np.append(self.gone, keys)

    def search(self, queries, k):
        hits = super().search(queries, k)
        rows = [(keys[:count], scores[:count]) for keys, scores, count in zip(hits.keys, hits.scores, hits.counts, strict=True)]
        return Hits.of([(keys[~np.isin(keys, self.gone)], scores[~np.isin(keys, self.gone)]) for keys, scores in rows], k)


class NeverComesBack(DotRetriever):
    def __init__(self, options):
        super().__init__(options)
        self.gone = np.zeros(0, np.int64)

    def remove(self, keys):
        super().remove(keys)
        self.gone = np.append(self.gone, keys)

    def answers(self, query):
        keys, scores = super().answers(query)
        return keys[~np.isin(keys, self.gone)], scores[~np.isin(keys, self.gone)]


class NeedsNoTexts(WordRetriever):
    def add(self, entries):
        super().add(entries if entries.texts else replace(entries, texts=[""] * len(entries.keys)))


CAUGHT = [
    (TakesKeysTwice, "test_a_key_twice_is_refused_as_a_whole"),
    (HalfAdded, "test_a_key_twice_is_refused_as_a_whole"),
    (GrowsUnasked, "test_it_grows_where_it_says_so"),
    (RemovesNothing, "test_it_removes_where_it_says_so"),
    (RemovesUnasked, "test_it_removes_where_it_says_so"),
    (HidesRemoved, "test_it_removes_where_it_says_so"),
    (NeverComesBack, "test_removed_keys_may_come_back"),
    (NeedsNoTexts, "test_entries_that_do_not_fit_are_refused"),
]


@pytest.mark.parametrize(("component", "rule"), CAUGHT, ids=lambda one: getattr(one, "__name__", ""))
def test_a_broken_retriever_is_caught_by_the_rule_that_it_breaks(component: type[Retriever], rule: str) -> None:
    assert_caught(RetrieverContract, component, rule)
