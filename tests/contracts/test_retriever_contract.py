"""The contract of retrievers takes every correct one, ours among them, and names the rule that each broken one breaks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from pydantic import Field

from calumma.contracts import RetrieverContract
from calumma.contracts.samples.retriever import DotRetriever, WordRetriever
from calumma.errors import AssetError
from calumma.interfaces import Entries, Hits, Options, Query

from .breaking import assert_caught

# --- correct ones ---


class TestExactFlat(RetrieverContract):
    component = "exact/flat"


class TestExactFlatInBlocks(RetrieverContract):
    component = "exact/flat"
    options: ClassVar[dict[str, Any]] = {"block": 7}


class TestFaissFlat(RetrieverContract):
    component = "faiss/index"


class TestFaissHNSW(RetrieverContract):
    component = "faiss/index"
    options: ClassVar[dict[str, Any]] = {"factory": "HNSW16", "ef_search": 64}


class TestFaissIVF(RetrieverContract):
    component = "faiss/index"
    options: ClassVar[dict[str, Any]] = {"factory": "IVF4,Flat", "nprobe": 3}
    recall = 0.8


class TestFaissCompressed(RetrieverContract):
    component = "faiss/index"
    options: ClassVar[dict[str, Any]] = {"factory": "SQ8"}
    score_tolerance = 0.02


class TestHNSW(RetrieverContract):
    component = "hnswlib/hnsw"


class TestNone(RetrieverContract):
    component = "none/none"


class TestDotRetriever(RetrieverContract):
    component = DotRetriever


class TestWordRetriever(RetrieverContract):
    component = WordRetriever


class Hybrid(DotRetriever):
    """Asks for both vector and words, and adds a little for words in common."""

    accepts = frozenset({"vector", "text"})
    capabilities = frozenset()
    exact = False

    def __init__(self, options):
        super().__init__(options)
        self.words = WordRetriever(options)

    def add(self, entries):
        self.words.add(entries)
        super().add(entries)

    remove = WordRetriever.remove

    def answers(self, query):
        by_words = dict(zip(*(part.tolist() for part in self.words.answers(query)), strict=True))
        keys, scores = super().answers(query)
        return keys, scores + np.array([0.1 * by_words.get(key, 0) for key in keys.tolist()], np.float32)

    def save(self, folder):
        super().save(folder)
        self.words.save(folder)

    @classmethod
    def open(cls, folder, options):
        index = super().open(folder, options)
        index.words = WordRetriever.open(folder, options)
        return index


class TestHybrid(RetrieverContract):
    component = Hybrid


# --- broken ones: each is DotRetriever but for one fault ---


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


class ExcludesForAll(DotRetriever):
    def search(self, queries, k):
        exclude = np.concatenate([np.zeros(0, np.int64), *(query.exclude for query in queries)])
        return super().search([replace(query, exclude=exclude) for query in queries], k)


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


class Unseeded(DotRetriever):
    exact = False

    def answers(self, query):
        keys, scores = super().answers(query)
        return keys, scores + np.random.normal(0, 1e-3, len(keys)).astype(np.float32)


class TiesByPlace(DotRetriever):
    def search(self, queries, k):
        rows = [self.answers(query) for query in queries]
        order = [np.argsort(-scores, kind="stable") for _, scores in rows]
        hits = super().search(queries, k)
        for i, (keys, scores) in enumerate(rows):
            count = hits.counts[i]
            hits.keys[i, :count], hits.scores[i, :count] = keys[order[i]][:count], scores[order[i]][:count]
        return hits


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


class SavesBeside(DotRetriever):
    def save(self, folder):
        super().save(folder)
        Path("last-index.txt").write_text(str(folder))


class SavesAPath(DotRetriever):
    def save(self, folder):
        super().save(folder)
        (folder / "rows.npz").rename(folder / "data.npz")
        (folder / "where.txt").write_text(str(folder / "data.npz"))

    @classmethod
    def open(cls, folder, options):
        index = cls(options)
        try:
            with np.load((folder / "where.txt").read_text()) as rows:
                index.keys, index.vectors = rows["keys"], rows["vectors"]
        except Exception as error:
            raise AssetError("It holds no index.") from error
        return index


class SavesTheFirstRows(DotRetriever):
    def __init__(self, options):
        super().__init__(options)
        self.first = None

    def add(self, entries):
        super().add(entries)
        self.first = self.first or (self.keys, self.vectors)

    def save(self, folder):
        keys, vectors = self.first or (self.keys, self.vectors)
        np.savez(folder / "rows.npz", keys=keys, vectors=vectors)


class OpensAnything(DotRetriever):
    @classmethod
    def open(cls, folder, options):
        return super().open(folder, options) if (folder / "rows.npz").is_file() else cls(options)


class RaisesItsOwn(DotRetriever):
    @classmethod
    def open(cls, folder, options):
        try:
            return super().open(folder, options)
        except AssetError as error:
            raise ValueError("bad index") from error


class Floors(Options):
    floor: float = Field(
        -1, ge=-1, le=1, description="Rows that score less are left out.", json_schema_extra={"search": True, "meaning": True}
    )
    power: float = Field(1, ge=0.5, le=2, description="Scales what is built.", json_schema_extra={"meaning": True})
    block: int = Field(8, ge=1, le=64, description="Rows at once.")


class WithOptions(DotRetriever):
    Options = Floors
    exact = False

    def answers(self, query):
        keys, scores = super().answers(query)
        return keys[scores >= self.options.floor], scores[scores >= self.options.floor]


class TestWithOptions(RetrieverContract):
    component = WithOptions


class OpensWithDefaults(WithOptions):
    @classmethod
    def open(cls, folder, options):
        return super().open(folder, Floors())


class OpensWithOldOptions(WithOptions):
    """Has the options it is opened with, and searches by those it was saved with."""

    floor = None

    def save(self, folder):
        super().save(folder)
        (folder / "floor.txt").write_text(str(self.options.floor))

    @classmethod
    def open(cls, folder, options):
        index = super().open(folder, options)
        index.floor = float((folder / "floor.txt").read_text()) if (folder / "floor.txt").is_file() else None
        return index

    def answers(self, query):
        keys, scores = DotRetriever.answers(self, query)
        floor = self.options.floor if self.floor is None else self.floor
        return keys[scores >= floor], scores[scores >= floor]


class OneKeyForAll(WithOptions):
    def index_key(self):
        return f"{self.id}#0123456789abcdef"


class KeyOfEverything(WithOptions):
    def index_key(self):
        return self.fingerprint()


class UnmarkedMeaning(WithOptions):
    def answers(self, query):
        keys, scores = super().answers(query)
        return keys[: 4 * self.options.block], scores[: 4 * self.options.block]


class GrowingFingerprint(DotRetriever):
    def fingerprint(self):
        return f"{super().fingerprint()[:-1]}{self.size % 7}"


class Boastful(DotRetriever):
    capabilities = frozenset({"deletes", "grows", "flies"})


class ScalesTheSaved(DotRetriever):
    @classmethod
    def open(cls, folder, options):
        index = super().open(folder, options)
        index.vectors = index.vectors.astype(np.float16).astype(np.float32)
        return index


class WritesThrough(DotRetriever):
    folder = None

    def add(self, entries):
        super().add(entries)
        if self.folder is not None:
            self.save(self.folder)

    @classmethod
    def open(cls, folder, options):
        index = super().open(folder, options)
        index.folder = folder
        return index


class FailsWhenEmpty(DotRetriever):
    def answers(self, query):
        if not self.size:
            raise ValueError("empty")
        return super().answers(query)


class WordsAtRandom(WordRetriever):
    def answers(self, query):
        keys, scores = super().answers(query)
        return keys, np.roll(scores, 1)


class NeedsNoTexts(WordRetriever):
    def add(self, entries):
        super().add(entries if entries.texts else replace(entries, texts=[""] * len(entries.keys)))


CAUGHT = [
    (WorstFirst, "test_the_best_come_first_and_once"),
    (Positions, "test_keys_come_back_as_they_were_given"),
    (ThroughFloats, "test_keys_come_back_as_they_were_given"),
    (ShortKeys, "test_hits_have_their_shapes"),
    (Padded, "test_hits_have_their_shapes"),
    (CountsToK, "test_more_than_there_is_gives_what_there_is"),
    (Forgetful, "test_excluded_keys_cost_no_answers"),
    (ExcludesAfterwards, "test_excluded_keys_cost_no_answers"),
    (ExcludesForAll, "test_queries_do_not_know_each_other"),
    (Cosine, "test_longer_vectors_win"),
    (Distances, "test_scores_are_inner_products"),
    (Sampling, "test_it_finds_the_true_best"),
    (Unseeded, "test_two_builds_agree"),
    (TiesByPlace, "test_ties_go_to_the_smaller_key"),
    (Remembers, "test_searching_changes_nothing"),
    (NormalisesInPlace, "test_what_is_given_is_not_changed"),
    (SortsKeysInPlace, "test_what_is_given_is_not_changed"),
    (Borrows, "test_what_was_given_may_change_later"),
    (TakesKeysTwice, "test_a_key_twice_is_refused_as_a_whole"),
    (HalfAdded, "test_a_key_twice_is_refused_as_a_whole"),
    (AnyDimension, "test_queries_that_lack_something_are_refused"),
    (AsksByNothing, "test_queries_that_lack_something_are_refused"),
    (IgnoresFilters, "test_filters_are_never_ignored"),
    (GrowsUnasked, "test_it_grows_where_it_says_so"),
    (RemovesNothing, "test_it_removes_where_it_says_so"),
    (RemovesUnasked, "test_it_removes_where_it_says_so"),
    (HidesRemoved, "test_it_removes_where_it_says_so"),
    (NeverComesBack, "test_removed_keys_may_come_back"),
    (SavesBeside, "test_saving_writes_into_its_folder_alone"),
    (SavesAPath, "test_what_is_saved_opens_and_finds_the_same"),
    (SavesTheFirstRows, "test_what_was_removed_stays_removed"),
    (OpensAnything, "test_what_holds_no_index_is_refused"),
    (RaisesItsOwn, "test_damaged_files_are_refused"),
    (OpensWithDefaults, "test_opening_takes_the_options"),
    (OpensWithOldOptions, "test_opening_takes_the_options"),
    (OneKeyForAll, "test_the_index_key_is_of_what_was_built"),
    (KeyOfEverything, "test_the_index_key_is_of_what_was_built"),
    (UnmarkedMeaning, "test_unmarked_options_change_no_answer"),
    (GrowingFingerprint, "test_the_fingerprint_does_not_know_the_rows"),
    (Boastful, "test_capabilities_are_those_of_the_spec"),
    (ScalesTheSaved, "test_what_is_saved_opens_and_finds_the_same"),
    (WritesThrough, "test_an_opened_index_lives_on"),
    (FailsWhenEmpty, "test_an_empty_index_finds_nothing"),
    (WordsAtRandom, "test_keys_come_back_as_they_were_given"),
    (NeedsNoTexts, "test_entries_that_do_not_fit_are_refused"),
]


@pytest.mark.parametrize(("component", "rule"), CAUGHT, ids=lambda one: getattr(one, "__name__", ""))
def test_a_broken_retriever_is_caught_by_the_rule_that_it_breaks(
    component: type[DotRetriever], rule: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # one of them writes where it is
    assert_caught(RetrieverContract, component, rule)
