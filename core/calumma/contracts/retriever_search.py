"""What a retriever promises about answers: the right keys, the right scores, the right order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from calumma.contracts.contract import Contract, rule
from calumma.contracts.rows import EXTREMES, Rows, found, make_rows
from calumma.documents import IntArray
from calumma.interfaces import Hits, Query, Retriever, Vectors

K = 10


class SearchRules(Contract[Retriever]):
    """The half of RetrieverContract that needs no disk."""

    kind = "retriever"
    recall: ClassVar[float | None] = None
    score_tolerance: ClassVar[float] = 1e-5
    rows: ClassVar[int] = 300
    dimension: ClassVar[int] = 16

    # --- what rules are written with ---

    def sample(self, n: int | None = None, first: int = 0) -> Rows:
        """Rows to index; those from another `first` on have other keys and other words."""
        return make_rows(self.rows if n is None else n, self.dimension, first=first)

    def filled(self, rows: Rows | None = None, **changes: Any) -> Retriever:
        """A new retriever with rows in it."""
        retriever = self.make(**changes)
        retriever.add((self.sample() if rows is None else rows).entries(retriever.accepts))
        return retriever

    def asked(self, retriever: Retriever, n: int = 20, exclude: IntArray | None = None) -> list[Query]:
        """Questions about nothing in particular: vectors beside all rows, words of several."""
        vectors = make_rows(n, self.dimension, seed=1).vectors
        texts = self.sample().texts
        words = [f"{texts[i].split()[0]} {texts[-1 - i]}" for i in range(n)]
        without = np.zeros(0, np.int64) if exclude is None else exclude
        return [
            Query(
                vector=vectors[i] if "vector" in retriever.accepts else None,
                text=words[i] if "text" in retriever.accepts else None,
                exclude=without.copy(),
            )
            for i in range(n)
        ]

    def bound(self, retriever: Retriever) -> float:
        """The share of the true best that it must find: 1 where it is exact, `recall` (0.9 by default) where not."""
        return 1.0 if retriever.exact else 0.9 if self.recall is None else self.recall

    def finds(self, retriever: Retriever, rows: Rows, places: Sequence[int], when: str) -> None:
        """Fails unless each row is found first by its own query, or nothing is, where the retriever accepts nothing."""
        hits = retriever.search([rows.query(place, retriever.accepts) for place in places], 3)
        if not retriever.accepts:
            assert not hits.counts.any(), f"it accepts nothing, and found {found(hits)} {when}."
            return
        first = [found(hits, i)[:1] == [int(rows.keys[place])] for i, place in enumerate(places)]
        if np.mean(first) < self.bound(retriever):
            wrong = first.index(False)
            key = int(rows.keys[places[wrong]])
            self.fail(
                f"{len(first) - sum(first)} of {len(first)} rows were not found first by their own query {when}: "
                f"asked for the key {key}, it found {found(hits, wrong)}."
            )

    def same(self, one: Hits, other: Hits, when: str) -> None:
        """Fails unless two answers have the same keys and, but for rounding, the same scores."""
        if not np.array_equal(one.keys, other.keys):
            row = int(np.flatnonzero((one.keys != other.keys).any(axis=1))[0])
            self.fail(f"query {row} found {found(one, row)[:5]} before, and {found(other, row)[:5]} {when}.")
        assert np.array_equal(one.counts, other.counts), f"counts were {one.counts[:5]} and are {other.counts[:5]} {when}."
        within = np.isclose(one.scores, other.scores, rtol=0, atol=1e-5) | (one.scores == other.scores)
        assert within.all(), f"scores were {one.scores[~within][:3]} and are {other.scores[~within][:3]} {when}."

    def share(self, hits: Hits, rows: Rows, vectors: Vectors, without: IntArray | None = None) -> float:
        """Mean share of the true best among the answers; what scores as well as the last of them counts too.

        An engine that compresses vectors cannot tell apart what is closer than it rounds scores: `score_tolerance`.
        """
        k, shares, close = hits.keys.shape[1], [], max(1e-5, 2 * self.score_tolerance)
        place = {int(key): i for i, key in enumerate(rows.keys)}
        for i, vector in enumerate(vectors):
            _, best = rows.best(vector, k, without)
            scores = [
                float(rows.vectors[place[key]].astype(np.float64) @ vector) for key in set(found(hits, i)) if key in place
            ]
            shares.append(np.mean([*(s >= best[-1] - close for s in scores), *[False] * (len(best) - len(scores))]))
        return float(np.mean(shares))

    # --- answers ---

    @rule
    def test_keys_come_back_as_they_were_given(self) -> None:
        """Any int64 keys come back as they were given, the smallest, the largest and -1 among them."""
        rows = self.sample()
        retriever = self.filled(rows)
        assert retriever.size == (len(rows) if retriever.accepts else 0), f"size is {retriever.size} after {len(rows)} rows."
        self.finds(retriever, rows, [int(np.flatnonzero(rows.keys == key)[0]) for key in EXTREMES], "among extreme keys")
        self.finds(retriever, rows, range(0, len(rows), 7), "among all")
        hits = retriever.search(self.asked(retriever), K)
        strange = {key for i in range(len(hits.counts)) for key in found(hits, i)} - set(rows.keys.tolist())
        assert not strange, f"it found {sorted(strange)[:5]}, which nobody added."

    @rule
    def test_hits_have_their_shapes(self) -> None:
        """Hits are keys int64 [Q, k], scores float32 [Q, k] and counts int64 [Q]; beyond a count there are -1 and -inf."""
        retriever = self.filled()
        for queries, k in ((3, K), (1, 1), (2, self.rows + 7), (0, 4), (2, 0)):
            hits = retriever.search(self.asked(retriever, queries), k)
            for name, array, shape, dtype in (
                ("keys", hits.keys, (queries, k), np.int64),
                ("scores", hits.scores, (queries, k), np.float32),
                ("counts", hits.counts, (queries,), np.int64),
            ):
                told = (np.shape(array), getattr(array, "dtype", type(array)))
                assert told == (shape, dtype), f"{name} of {queries} queries with k = {k} are {told[0]} of {told[1]}."
            assert ((hits.counts >= 0) & (hits.counts <= k)).all(), f"counts are {hits.counts} with k = {k}."
            beyond = np.arange(k) >= hits.counts[:, None]
            assert (hits.keys[beyond] == -1).all(), f"keys beyond the count are {hits.keys[beyond][:5]}."
            assert np.isneginf(hits.scores[beyond]).all(), f"scores beyond the count are {hits.scores[beyond][:5]}."

    @rule
    def test_the_best_come_first_and_once(self) -> None:
        """Within a query's count scores are finite and do not increase, and no key comes twice."""
        retriever = self.filled()
        hits = retriever.search(self.asked(retriever), K)
        for i, count in enumerate(hits.counts):
            scores, keys = hits.scores[i, :count], found(hits, i)
            assert np.isfinite(scores).all(), f"scores are {scores}."
            assert (np.diff(scores) <= 0).all(), f"scores are {scores}."
            assert len(set(keys)) == len(keys), f"it found {keys}."
            if retriever.exact:
                order = np.lexsort((hits.keys[i, :count], -scores))
                assert (order == np.arange(count)).all(), f"ties are not by key: {keys} with {scores}."

    @rule
    def test_scores_are_inner_products(self) -> None:
        """Scores are the inner products of query and row (to `score_tolerance`), or the engine's own where `metric` says so."""
        rows = self.sample()
        retriever = self.filled(rows)
        queries = self.asked(retriever)
        hits = retriever.search(queries, K)
        if retriever.accepts != {"vector"} or retriever.metric != "inner product":
            self.finds(retriever, rows, range(20), "by words")
            return
        place = {int(key): i for i, key in enumerate(rows.keys)}
        for i, query in enumerate(queries):
            for key, score in zip(found(hits, i), hits.scores[i], strict=False):
                true = float(rows.vectors[place[key]].astype(np.float64) @ query.vector)
                assert abs(score - true) <= self.score_tolerance, (
                    f"it scores {score}; the inner product is {true}. The contract test of an engine that compresses vectors "
                    "says how far off it may be: score_tolerance = ..."
                )

    @rule
    def test_it_finds_the_true_best(self) -> None:
        """Of the 10 true best of 1,000 rows it finds all where it is exact, else at least the share `recall` (0.9)."""
        self._recalls(self.sample(max(1000, self.rows)), "")

    @rule
    def test_longer_vectors_win(self) -> None:
        """The best are those of maximum inner product: rows that are not of length 1 are not normalised, 0 among them."""
        rows = self.sample(max(1000, self.rows))
        lengths = np.random.default_rng(3).uniform(0.5, 2, len(rows)).astype(np.float32)
        lengths[:3] = 0
        self._recalls(Rows(rows.keys, rows.vectors * lengths[:, None], rows.texts), " of rows of several lengths")

    def _recalls(self, rows: Rows, what: str) -> None:
        retriever = self.make()
        vectors_alone = retriever.accepts == {"vector"}
        rows = rows if vectors_alone else self.sample(len(rows))
        retriever.add(rows.entries(retriever.accepts))
        queries = self.asked(retriever)
        if vectors_alone:
            hits = retriever.search(queries, K)
            share = self.share(hits, rows, np.array([query.vector for query in queries]))
            bound = self.bound(retriever)
            assert share >= bound, f"it finds {share:.3f} of the true best{what}; it should find {bound}."
            assert (hits.counts == K).all(), f"counts are {hits.counts} of {len(rows)} rows with k = {K}."
        else:
            self.finds(retriever, rows, range(0, len(rows), 29), "by words")

    @rule
    def test_ties_go_to_the_smaller_key(self) -> None:
        """An exact engine puts equal scores in the order of their keys, and cuts off the larger."""
        rows = self.sample()
        few = np.eye(self.dimension, dtype=np.float32)[np.arange(len(rows)) % 4]
        tied = Rows(rows.keys, few, tuple(rows.texts[i % 4] for i in range(len(rows))))
        retriever = self.filled(tied)
        hits = retriever.search([tied.query(1, retriever.accepts)], K)
        if retriever.exact and retriever.accepts:
            expected = sorted(int(key) for key in tied.keys[1::4])[:K]
            assert found(hits) == expected, f"of rows that score alike it found {found(hits)}, not {expected}."
        else:
            assert set(found(hits)) <= set(tied.keys.tolist()), f"it found {found(hits)}, which nobody added."

    @rule
    def test_more_than_there_is_gives_what_there_is(self) -> None:
        """k above the number of rows gives lower counts, no error."""
        rows = self.sample()
        retriever = self.filled(rows)
        hits = retriever.search(self.asked(retriever, 3), 2 * len(rows) + 5)
        assert (hits.counts <= retriever.size).all(), f"counts are {hits.counts} of {retriever.size} rows."
        if retriever.accepts == {"vector"}:
            least = len(rows) if retriever.exact else K
            assert (hits.counts >= least).all(), f"counts are {hits.counts}; there are {len(rows)} rows."

    @rule
    def test_an_empty_index_finds_nothing(self) -> None:
        """An index with no rows finds nothing, without an error, also where no rows were added to it."""
        retriever, none = self.make(), self.sample(0)
        for when in ("before rows are added", "after no rows were added"):
            assert retriever.size == 0, f"size is {retriever.size} {when}."
            hits = retriever.search(self.asked(retriever, 2), 3)
            assert hits.keys.shape == (2, 3), f"keys are {hits.keys.shape} {when}."
            assert not hits.counts.any(), f"it found {found(hits)} {when}."
            if when.startswith("before"):
                retriever.add(none.entries(retriever.accepts))

    @rule
    def test_excluded_keys_cost_no_answers(self) -> None:
        """Excluded keys are not returned, and the next best come in their place."""
        rows = self.sample()
        retriever = self.filled(rows)
        if not retriever.accepts:
            self.finds(retriever, rows, [0], "with excluded keys")
            return
        free, shares = retriever.search(self.asked(retriever, 8), K), [1.0]
        for i, query in enumerate(self.asked(retriever, 8)):
            best = free.keys[i, : free.counts[i]]
            exclude = np.concatenate([best, best[:2], np.array([123, -7])])  # some twice, some unknown
            hits = retriever.search([Query(query.vector, query.text, exclude=exclude)], K)
            back = set(found(hits)) & set(best.tolist())
            assert not back, f"it returned {sorted(back)}, which were excluded."
            if query.vector is not None and query.text is None:
                shares.append(self.share(hits, rows, query.vector[None], exclude))
                assert hits.counts[0] == K, f"{len(best)} keys were excluded, and it found {hits.counts[0]} of {K}."
        assert np.mean(shares) >= self.bound(retriever), f"of the next best it found {np.mean(shares):.3f}."
        own = retriever.search([rows.query(5, retriever.accepts, rows.keys[:5])], 1)
        assert found(own) == [rows.keys[5]], f"with others excluded a row's own query found {found(own)}."
        nothing = retriever.search([rows.query(5, retriever.accepts, rows.keys)], 5)
        assert not nothing.counts.any(), f"with every key excluded it found {found(nothing)}."
        if "filters" in retriever.capabilities:
            both = replace(rows.query(5, retriever.accepts, rows.keys[5:7]), only=rows.keys[5:9])
            left = found(retriever.search([both], 5))
            assert not set(left) & set(rows.keys[5:7].tolist()), f"it returned {left}, allowed by a filter, but excluded too."
            if "text" not in retriever.accepts:
                assert set(left) == set(rows.keys[7:9].tolist()), f"of 4 allowed keys, 2 of them excluded, it found {left}."
