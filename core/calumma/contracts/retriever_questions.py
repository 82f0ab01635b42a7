"""What a retriever promises about questions: one does not disturb another, and those that make no sense are refused."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

from calumma.contracts.contract import rule
from calumma.contracts.retriever_search import K, SearchRules
from calumma.contracts.rows import found
from calumma.errors import InputError
from calumma.interfaces import Entries, Hits, Query


class QuestionRules(SearchRules):
    """Searches one after the other, at once, and those that must be refused."""

    # --- one search, and others ---

    @rule
    def test_queries_do_not_know_each_other(self) -> None:
        """A query finds in a batch, in any order, what it finds alone; what one excludes another may find."""
        rows = self.sample()
        retriever = self.filled(rows)
        queries = [*self.asked(retriever, 5), rows.query(0, retriever.accepts), rows.query(0, retriever.accepts, rows.keys[:3])]
        alone = [retriever.search([query], K) for query in queries]
        for order in (range(7), range(6, -1, -1), [6, 5, 6, 5]):
            batch = retriever.search([queries[i] for i in order], K)
            for row, i in enumerate(order):
                one = Hits(batch.keys[row : row + 1], batch.scores[row : row + 1], batch.counts[row : row + 1])
                self.same(alone[i], one, "in a batch")

    @rule
    def test_searching_changes_nothing(self) -> None:
        """Searches leave nothing behind: whatever was asked before, the same question has the same answer."""
        rows = self.sample()
        retriever = self.filled(rows)
        before, size = retriever.search(self.asked(retriever), 3), retriever.size
        expected = Hits(before.keys.copy(), before.scores.copy(), before.counts.copy())
        retriever.search(self.asked(retriever, 3), self.rows)
        retriever.search(self.asked(retriever, 3, exclude=rows.keys[:200]), 5)
        retriever.search(self.asked(retriever, 1), 1)
        self.same(expected, before, "in the hits that were given out before other searches")
        before.keys[:], before.scores[:], before.counts[:] = 7, 0, 0
        self.same(expected, retriever.search(self.asked(retriever), 3), "after other searches")
        assert retriever.size == size, f"size was {size} and is {retriever.size} after searches."

    @rule
    def test_two_threads_find_the_same(self) -> None:
        """Searches that run in two threads at once find what each finds alone."""
        retriever, both = self.filled(), threading.Barrier(2)
        queries = self.asked(retriever, 12)
        asked = ((queries[:6], 3), (queries[6:], self.rows // 2))
        alone = [retriever.search(batch, k) for batch, k in asked]

        def searched(batch: list[Query], k: int) -> list[Hits]:
            both.wait(timeout=60)
            return [retriever.search(batch, k) for _ in range(5)]

        with ThreadPoolExecutor(2) as pool:
            running = [pool.submit(searched, batch, k) for batch, k in asked]
            for expected, one in zip(alone, running, strict=True):
                for hits in one.result():
                    self.same(expected, hits, "while another thread searched too")

    @rule
    def test_what_is_given_is_not_changed(self) -> None:
        """Arrays and texts that are added or asked with are left as they were."""
        retriever, rows = self.make(), self.sample()
        entries = rows.entries(retriever.accepts)
        retriever.add(entries)
        queries = self.asked(retriever, 4, exclude=rows.keys[5:9][::-1])
        vectors = [None if query.vector is None else query.vector.copy() for query in queries]
        retriever.search(queries, K)
        assert np.array_equal(entries.keys, rows.keys), "`add` changed the keys."
        assert np.array_equal(entries.vectors, rows.vectors), "`add` or `search` changed the vectors of the rows."
        assert entries.texts is None or tuple(entries.texts) == rows.texts, "`add` changed the texts."
        for query, vector in zip(queries, vectors, strict=True):
            assert query.vector is None or np.array_equal(query.vector, np.asarray(vector)), (
                "`search` changed the vector of a query."
            )
            assert np.array_equal(query.exclude, rows.keys[5:9][::-1]), "`search` changed `exclude`."

    @rule
    def test_what_was_given_may_change_later(self) -> None:
        """The index keeps what was added: the caller's arrays and lists may be views, and may change afterwards."""
        retriever, rows = self.make(), self.sample()
        wide = np.zeros((len(rows), 2 * self.dimension), np.float32)
        wide[:, ::2] = rows.vectors
        keys, texts = np.repeat(rows.keys, 2), list(rows.texts)
        retriever.add(Entries(keys[::2], wide[:, ::2], texts if "text" in retriever.accepts else None))
        keys[:], wide[:], texts[:] = 3, 0, ["nothing"] * len(texts)
        self.finds(retriever, rows, range(0, len(rows), 7), "after the caller's arrays changed")

    @rule
    def test_two_builds_agree(self) -> None:
        """The same rows and options give the same answers, whatever the state of the global random generators."""
        answers = []
        for seed in (0, 1):
            np.random.seed(seed)
            random.seed(seed)
            retriever = self.filled()
            answers.append(retriever.search(self.asked(retriever), K))
        self.same(answers[0], answers[1], "when built again")

    # --- questions that it must refuse ---

    @rule
    def test_queries_that_lack_something_are_refused(self) -> None:
        """A query without what `accepts` names raises InputError, and so does a vector of another dimension."""
        retriever = self.filled()
        assert retriever.accepts <= {"vector", "text"}, f"`accepts` is {sorted(retriever.accepts)}."
        (query,) = self.asked(retriever, 1)
        for need in sorted(retriever.accepts):
            lacking = Query(None if need == "vector" else query.vector, None if need == "text" else query.text)
            self.refused(partial(retriever.search, [lacking], 1), f"A query without its {need}", InputError)
        if query.vector is not None:
            for vector in (query.vector[:-1], np.append(query.vector, np.float32(0)), query.vector[None]):
                wrong = Query(vector, query.text)
                what = f"A vector of shape {vector.shape} in an index of dimension {self.dimension}"
                self.refused(partial(retriever.search, [wrong], 1), what, InputError)
        hits = retriever.search([query], 3)
        assert bool(hits.counts.any()) == bool(retriever.accepts), f"it then found {found(hits)} where nothing is lacking."

    @rule
    def test_vectors_that_are_not_finite_are_refused(self) -> None:
        """NaN or infinity in a row, in a row to learn from or in a query raises InputError, and adds nothing."""
        retriever, rows, more = self.filled(), self.sample(), self.sample(6, first=5000)
        for value in (np.nan, np.inf, -np.inf) if "vector" in retriever.accepts else ():
            wrong = more.entries(retriever.accepts)
            wrong.vectors[3, -1] = value
            fresh = self.make()
            self.refused(partial(fresh.add, wrong), f"A row with {value} in an empty index", InputError)
            assert fresh.size == 0, f"size is {fresh.size} after a row with {value}."
            if fresh.train_rows:
                self.refused(partial(fresh.train, wrong.vectors, 6), f"Learning from {value}", InputError)
            if "grows" in retriever.capabilities:
                self.refused(partial(retriever.add, wrong), f"A row with {value}", InputError)
            (query,) = self.asked(retriever, 1)
            asked = np.array(query.vector, np.float32)
            asked[2] = value
            self.refused(partial(retriever.search, [query, Query(asked, query.text)], 1), f"A query with {value}", InputError)
        expected = len(rows) if retriever.accepts else 0
        assert retriever.size == expected, f"size was {expected} and is {retriever.size} after refused calls."
        self.finds(retriever, rows, range(0, len(rows), 7), "after refused calls")
