"""What a retriever promises about data that is not spread evenly: clusters, outliers, rows that are the same."""

from __future__ import annotations

import numpy as np

from calumma.contracts.contract import rule
from calumma.contracts.retriever_search import K, SearchRules
from calumma.contracts.rows import Rows, found, make_clusters
from calumma.interfaces import Query


class DataRules(SearchRules):
    """Real vectors lie in clusters; engines that were only tried on noise fail there."""

    @rule
    def test_it_finds_the_true_best_among_clusters(self) -> None:
        """Among clusters of nearly the same vectors, of unequal sizes, and outliers it finds the share `recall` (0.9) too."""
        rows, queries = make_clusters(max(1000, self.rows), self.dimension)
        retriever = self.filled(rows)
        if retriever.accepts != {"vector"}:
            self.finds(retriever, rows, range(0, len(rows), 29), "by words")
            return
        hits = retriever.search([Query(vector=vector.copy()) for vector in queries], K)
        share, bound = self.share(hits, rows, queries), self.bound(retriever)
        assert share >= bound, f"it finds {share:.3f} of the true best; it should find {bound}."
        assert (hits.counts == K).all(), f"counts are {hits.counts} of {len(rows)} rows with k = {K}."

    @rule
    def test_equal_vectors_are_all_found(self) -> None:
        """Rows with the same vector are all found, each under its own key, also where all rows are the same."""
        rows, copies = self.sample(), 12
        for different in (len(rows) // copies, 1):
            same = Rows(rows.keys, rows.vectors[np.arange(len(rows)) % different], rows.texts)
            retriever = self.filled(same)
            if retriever.accepts != {"vector"}:
                self.finds(retriever, same, range(0, len(rows), 7), "by words, where vectors are the same")
                continue
            asked = range(min(different, 8))
            hits = retriever.search([same.query(i, retriever.accepts) for i in asked], len(rows) // different)
            shares = []
            for i in asked:
                expected = set(same.keys[i::different][: len(rows) // different].tolist())
                alike = set(same.keys[i::different].tolist())
                assert len(set(found(hits, i))) == len(found(hits, i)), f"it found {found(hits, i)[:20]}: a key twice."
                shares.append(len(alike & set(found(hits, i))) / len(expected))
            told = f"of {len(rows) // different} rows with the same vector it found {np.mean(shares):.3f}"
            assert np.mean(shares) >= self.bound(retriever), f"{told}; it should find {self.bound(retriever)}."
