"""What a retriever says of itself: capabilities, metric, and from how many rows it wants to learn."""

from __future__ import annotations

import contextlib
from typing import get_args

import numpy as np

from calumma.contracts.contract import rule
from calumma.contracts.retriever_search import K, SearchRules
from calumma.errors import ComponentError
from calumma.interfaces import RetrieverCapability, RetrieverMetric


class AbilityRules(SearchRules):
    """Wiring and banks go by these."""

    @rule
    def test_capabilities_are_those_of_the_spec(self) -> None:
        """`capabilities` are words that there are. The spec says the same of the defaults, and of `exact`; options may only
        take something away.
        """
        retriever, spec = self.make(warm=False), self.spec()
        known = set(get_args(RetrieverCapability))
        assert retriever.capabilities <= known, f"they are {sorted(retriever.capabilities)}; there are {sorted(known)}."
        told = {name for name in (*known, "exact") if spec is not None and spec.capabilities.get(name)}
        has = {*retriever.capabilities, *(["exact"] if retriever.exact else [])}
        agree = has <= told if self.options else has == told
        assert spec is None or agree, f"the spec says {sorted(told)}, and the component {sorted(has)}."

    @rule
    def test_the_metric_is_a_word_that_there_is(self) -> None:
        """`metric` is a word that there is, and "inner product" only where vectors are accepted, or nothing."""
        retriever, known = self.make(warm=False), get_args(RetrieverMetric)
        assert retriever.metric in known, f"it is {retriever.metric!r}; there are {list(known)}."
        by_vector = retriever.metric == "inner product"
        assert not by_vector or "text" not in retriever.accepts or "vector" in retriever.accepts, "it is of words alone."
        hits = self.filled().search(self.asked(retriever), K)
        for i, count in enumerate(hits.counts):
            scores = hits.scores[i, :count]
            falling = np.isfinite(scores).all() and (np.diff(scores) <= 0).all()
            assert falling, f"scores of {retriever.metric} are {scores}: not finite, or increasing."

    @rule
    def test_it_learns_from_a_sample(self) -> None:
        """`train`, given `train_rows` rows at the most, adds none of them; rows that are added afterwards are found. Where
        there is nothing to learn it changes no answer, and with rows in the index it raises ComponentError or changes none.
        """
        rows = self.sample(max(1000, self.rows))
        retriever = self.make()
        wanted = retriever.train_rows
        assert isinstance(wanted, int), f"`train_rows` is {wanted!r}."
        assert wanted >= 0, f"`train_rows` is {wanted}."
        sample = rows.vectors[:: max(1, len(rows) // wanted) if wanted else 3][: wanted or None].copy()
        given = sample.copy()
        retriever.train(sample, len(rows))
        assert np.array_equal(sample, given), "`train` changed the rows that it was given."
        sample[:] = 0
        assert retriever.size == 0, f"size is {retriever.size} after `train`."
        nothing = retriever.search(self.asked(retriever, 2), 3)
        assert not nothing.counts.any(), f"after `train` it found {sorted(set(nothing.keys.ravel().tolist()))}."
        half = len(rows) // 2 if "grows" in retriever.capabilities else len(rows)
        for part in (slice(0, half), slice(half, None)):
            if len(rows.only(part)):
                retriever.add(rows.only(part).entries(retriever.accepts))
        assert retriever.size == (len(rows) if retriever.accepts else 0), f"size is {retriever.size} of {len(rows)} rows."
        self.finds(retriever, rows, range(0, len(rows), 29), "after it was trained")
        queries = self.asked(retriever)
        hits = retriever.search(queries, K)
        if retriever.accepts == {"vector"}:
            share = self.share(hits, rows, np.array([query.vector for query in queries]))
            assert share >= self.bound(retriever), f"after `train` it finds {share:.3f} of the true best."
        if not wanted:
            self.same(self.filled(rows).search(queries, K), hits, "after `train`, though `train_rows` is 0")
        with contextlib.suppress(ComponentError):
            retriever.train(given, len(rows))
        self.same(hits, retriever.search(queries, K), "after `train` with rows in the index")
