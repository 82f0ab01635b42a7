"""What a retriever promises about filters: `only` is obeyed to the letter, or refused."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from calumma.contracts.contract import rule
from calumma.contracts.retriever_search import K, SearchRules
from calumma.contracts.rows import EXTREMES, Rows, found
from calumma.documents import IntArray
from calumma.errors import ComponentError
from calumma.interfaces import Retriever


class FilterRules(SearchRules):
    """Each rule holds for engines with the capability `filters`; the others refuse the question."""

    @rule
    def test_filters_are_never_ignored(self) -> None:
        """A query with `only` raises ComponentError, unless there is the capability `filters`, or nothing is ever found; one
        with `where` that nobody resolved into `only` raises it too.
        """
        retriever, rows = self.filled(), self.sample()
        if not retriever.accepts:
            self.finds(retriever, rows, [0], "where nothing can be filtered")
            return
        (query,) = self.asked(retriever, 1)
        where = replace(query, where="licence = 'CC0'")
        self.refused(lambda: retriever.search([query, where], 3), "A query with `where` alone", ComponentError)
        self._can(retriever, rows)

    def _can(self, retriever: Retriever, rows: Rows) -> bool:
        """Whether it filters; fails where it neither does nor refuses to."""
        if "filters" in retriever.capabilities and retriever.accepts:
            return True
        if retriever.accepts:
            (query,) = self.asked(retriever, 1)
            for only in (rows.keys[:5], rows.keys, rows.keys[:0]):
                asked = [query, replace(query, only=only)]
                self.refused(partial(retriever.search, asked, 3), f"A query of {len(only)} keys only", ComponentError)
        self.finds(retriever, rows, [0, 7], "where nothing can be filtered")
        return False

    @rule
    def test_only_allowed_keys_are_found(self) -> None:
        """With `only` none but its keys are found, and as many of the best of them as there would be without the others."""
        rows = self.sample()
        retriever = self.filled(rows)
        if not self._can(retriever, rows):
            return
        draw, shares = np.random.default_rng(4), [1.0]
        for part in (0.03, 0.3, 0.95):
            places = draw.permutation(len(rows))[: max(K, int(part * len(rows)))]
            allowed = rows.only(places)
            queries = [replace(query, only=allowed.keys) for query in self.asked(retriever, 8)]
            hits = retriever.search(queries, K)
            strange = {key for i in range(len(queries)) for key in found(hits, i)} - set(allowed.keys.tolist())
            assert not strange, f"of {len(allowed)} allowed rows it found {sorted(strange)[:5]}, which are none of them."
            if retriever.accepts == {"vector"}:
                assert (hits.counts == K).all(), f"counts are {hits.counts} of {len(allowed)} allowed rows with k = {K}."
                shares.append(self.share(hits, allowed, np.array([query.vector for query in queries])))
            own = [replace(allowed.query(i, retriever.accepts), only=allowed.keys) for i in range(8)]
            first = retriever.search(own, 1)
            missed = [i for i in range(8) if found(first, i) != [int(allowed.keys[i])]]
            assert len(missed) <= (1 - self.bound(retriever)) * 8, (
                f"{len(missed)} of 8 allowed rows were not found by their query."
            )
        assert np.mean(shares) >= self.bound(retriever), f"of the best that are allowed it finds {np.mean(shares):.3f}."

    @rule
    def test_one_allowed_key_among_many_is_found(self) -> None:
        """A row that is allowed alone is found, however far it is from the query; unknown keys beside it change nothing."""
        rows = self.sample()
        retriever = self.filled(rows)
        if not self._can(retriever, rows):
            return
        questions = self.asked(retriever, 12)
        for query, key in zip(questions, (*EXTREMES[:6], *rows.keys[:6].tolist()), strict=True):
            if retriever.accepts != {"vector"}:  # by words it is found where it has them
                query = rows.query(int(np.flatnonzero(rows.keys == key)[0]), retriever.accepts)
            for only in ([key], [key, key, 123, -7]):
                hits = retriever.search([replace(query, only=np.array(only, np.int64))], K)
                assert found(hits) == [key], f"of the keys {only} it found {found(hits)}."

    @rule
    def test_a_filter_that_allows_nothing_finds_nothing(self) -> None:
        """With `only` empty, or of unknown keys, nothing is found, without an error; in an empty index too."""
        rows = self.sample()
        retriever = self.filled(rows)
        if not self._can(retriever, rows):
            return
        for only in (np.zeros(0, np.int64), np.array([123, -7, 2**40 + 1])):
            for one in (retriever, self.make()):
                hits = one.search([replace(query, only=only) for query in self.asked(one, 3)], K)
                assert hits.keys.shape == (3, K), f"keys of 3 queries with k = {K} are {hits.keys.shape}."
                assert not hits.counts.any(), f"of {len(only)} allowed keys, none of them there, it found {found(hits)}."

    @rule
    def test_a_filter_is_of_its_query_alone(self) -> None:
        """In a batch each query has its own filter, or none, and finds what it finds alone; no filter is changed."""
        rows = self.sample()
        retriever = self.filled(rows)
        if not self._can(retriever, rows):
            return
        filters: list[IntArray | None] = [
            rows.keys[:40][::-1],
            None,
            rows.keys[40:90],
            rows.keys[:40][::-1],
            rows.keys[:0],
            None,
        ]
        copies = [None if only is None else only.copy() for only in filters]
        queries = [replace(query, only=only) for query, only in zip(self.asked(retriever, 6), filters, strict=True)]
        alone = [retriever.search([query], K) for query in queries]
        batch = retriever.search(queries, K)
        for i, expected in enumerate(alone):
            one = replace(batch, keys=batch.keys[i : i + 1], scores=batch.scores[i : i + 1], counts=batch.counts[i : i + 1])
            self.same(expected, one, "in a batch of other filters")
        for only, copy in zip(filters, copies, strict=True):
            assert only is None or np.array_equal(only, np.asarray(copy)), "`search` changed `only`."
