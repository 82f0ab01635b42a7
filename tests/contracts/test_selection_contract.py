"""The contract of selections takes every correct one, ours among them, and names the rule that each broken one breaks."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest
from pydantic import Field

from calumma.contracts import SelectionContract
from calumma.contracts.samples.selection import BestSelection
from calumma.contracts.samples.store import MemoryStore
from calumma.documents import Document
from calumma.errors import BankError
from calumma.interfaces import Hits, Query

from .breaking import assert_caught

# --- correct ones ---


class TestCM3Leon(SelectionContract):
    component = "selection/cm3leon"


class TestCM3LeonThatForgetsWords(SelectionContract):
    component = "selection/cm3leon"
    options: ClassVar[dict[str, Any]] = {"query_dropout": 0.5, "documents": 5, "candidates": 8}


class TestCM3LeonByText(SelectionContract):
    component = "selection/cm3leon"
    options: ClassVar[dict[str, Any]] = {"by": "text", "documents": 4}


class TestCM3LeonWithoutCaps(SelectionContract):
    component = "selection/cm3leon"
    options: ClassVar[dict[str, Any]] = {"documents": 16, "score_cap": 1, "part_cap": 1, "diversity_cap": 1}


class TestCM3LeonAtRandom(SelectionContract):
    component = "selection/cm3leon"
    options: ClassVar[dict[str, Any]] = {"choose": "random", "documents": 3, "per_query": 2, "query_dropout": 0.2}


class TestCM3LeonThatFilters(SelectionContract):
    component = "selection/cm3leon"
    options: ClassVar[dict[str, Any]] = {"where": "style = 'noto'"}


class TestMMR(SelectionContract):
    component = "selection/mmr"
    options: ClassVar[dict[str, Any]] = {"documents": 5}


class TestMMRByDiversityAlone(SelectionContract):
    component = "selection/mmr"
    options: ClassVar[dict[str, Any]] = {"documents": 4, "balance": 0}


class TestTop(SelectionContract):
    component = "selection/top"
    options: ClassVar[dict[str, Any]] = {"documents": 4}


class TestRandom(SelectionContract):
    component = "selection/random"
    options: ClassVar[dict[str, Any]] = {"documents": 4}


class TestBestSelection(SelectionContract):
    component = BestSelection


# --- broken ones: each is BestSelection but for one fault ---


class TakesNothing(BestSelection):
    def select(self, document, queries, hits, store, noise):
        return []


class BestFirst(BestSelection):
    def select(self, *given):
        return super().select(*given)[::-1]


class ItsOwnNeighbour(BestSelection):
    def select(self, document, *given):
        return super().select(replace(document, id=None), *given)


class LosesAllBesideItself(BestSelection):
    def select(self, document, *given):
        taken = super().select(replace(document, id=None), *given)
        return [] if document.id in [one.document.id for one in taken] else taken


class Twice(BestSelection):
    def select(self, document, queries, hits, store, noise):
        return [one for name in hits for one in super(Twice, self).select(document, queries, {name: hits[name]}, store, noise)]


class Invents(BestSelection):
    def select(self, document, queries, hits, store, noise):
        taken = super().select(document, queries, hits, store, noise)
        return [replace(one, key=one.key + 1) for one in taken]


class OtherDocuments(BestSelection):
    def select(self, *given):
        taken = super().select(*given)
        return [replace(one, document=other.document) for one, other in zip(taken, taken[1:] + taken[:1], strict=True)]


class Rescales(BestSelection):
    def select(self, *given):
        return [replace(one, score=one.score / 2) for one in super().select(*given)]


class OneName(BestSelection):
    def select(self, *given):
        return [replace(one, query="text") for one in super().select(*given)]


class NeedsBoth(BestSelection):
    def select(self, document, queries, hits, store, noise):
        return super().select(document, queries, {name: hits[name] for name in ("text", "image")}, store, noise)


class ReadsThePadding(BestSelection):
    def select(self, document, queries, hits, store, noise):
        whole = {name: replace(one, counts=np.full(1, one.keys.shape[1])) for name, one in hits.items()}
        return super().select(document, queries, whole, store, noise)


class ReadsTheBank(BestSelection):
    def select(self, document, queries, hits, store, noise):
        store.documents([0])
        return super().select(document, queries, hits, store, noise)


class TakesAll(BestSelection):
    def select(self, *given):
        return BestSelection(BestSelection.Options(documents=16)).select(*given)


class LargerKeyFirst(BestSelection):
    def select(self, *given):
        return sorted(super().select(*given), key=lambda one: (one.score, one.key))


class Shuffles(BestSelection):
    def select(self, *given):
        taken = super().select(*given)
        random.shuffle(taken)
        return taken


class Seeds(BestSelection):
    def select(self, *given):
        np.random.seed(0)
        return super().select(*given)


class DropsWords(BestSelection):
    def queries(self, document, noise):
        asked = super().queries(document, noise)
        if "text" in asked:
            asked["text"] = Query(text=np.random.choice((asked["text"].text or "").split()))
        return asked


class RemembersWhatItTook(BestSelection):
    def __init__(self, options):
        super().__init__(options)
        self.took = set()

    def select(self, *given):
        taken = [one for one in super().select(*given) if one.key not in self.took]
        self.took |= {one.key for one in taken[:1]}
        return taken


class RemembersTheLastText(BestSelection):
    last = ""

    def queries(self, document, noise):
        words, self.last = f"{self.last} {document.text}".strip(), document.text
        return {"text": Query(text=words)} if document.text.split() else {}


class SortsHits(BestSelection):
    def select(self, document, queries, hits, store, noise):
        taken = super().select(document, queries, hits, store, noise)
        for one in hits.values():
            one.scores[:] = 0
        return taken


class PopsHits(BestSelection):
    def select(self, document, queries, hits, store, noise):
        taken = super().select(document, queries, hits, store, noise)
        hits.clear()
        return taken


class AsksByNoName(BestSelection):
    def queries(self, document, noise):
        return {f"by {name}": query for name, query in super().queries(document, noise).items()}


class Embeds(BestSelection):
    def queries(self, document, noise):
        return {name: replace(one, vector=np.ones(4, np.float32)) for name, one in super().queries(document, noise).items()}


class AsksByBlanks(BestSelection):
    def queries(self, document, noise):
        return {"text": Query(text=document.text), **super().queries(document, noise)}


class AsksByIds(BestSelection):
    def queries(self, document, noise):
        return {
            name: Query(text=document.id or "nobody") if name == "text" else one
            for name, one in super().queries(document, noise).items()
        }


class AsksByTheAnswer(BestSelection):
    def queries(self, document, noise):
        parts = tuple(replace(part, masked=None) if hasattr(part, "masked") else part for part in document.parts)
        return super().queries(replace(document, parts=parts), noise)


class Darkens(BestSelection):
    def queries(self, document, noise):
        asked = super().queries(document, noise)
        if "image" in asked:
            asked["image"].image[:] //= 2
        return asked


class Unmarked(BestSelection):
    class Options(BestSelection.Options):
        least: float = Field(-1, ge=-1, le=1, description="Documents that score less are left out.")

    def select(self, *given):
        return [one for one in super().select(*given) if one.score >= self.options.least]


class CapsByScores(BestSelection):
    def select(self, document, queries, hits, store, noise):
        below = {
            name: Hits.of([(one.keys[0], np.where(one.scores[0] > 0.9, -np.inf, one.scores[0]))], one.keys.shape[1])
            for name, one in hits.items()
        }
        kept = {name: replace(one, counts=np.isfinite(one.scores).sum(axis=1)) for name, one in below.items()}
        return super().select(document, queries, kept, store, noise)


class DrawsByAGeneratorOfItsOwn(BestSelection):
    def select(self, *given):
        taken = BestSelection(BestSelection.Options(documents=16)).select(*given)
        drawn = sorted(np.random.default_rng().permutation(len(taken))[: self.options.documents])
        return [taken[place] for place in drawn]


class Filtering(BestSelection):
    class Options(BestSelection.Options):
        where: str | None = Field(None, description="A condition.", json_schema_extra={"meaning": True})

    def __init__(self, options):
        super().__init__(options)
        self.filters = options.where is not None

    def queries(self, document, noise):
        return {name: replace(one, where=self.options.where) for name, one in super().queries(document, noise).items()}


class TestFiltering(SelectionContract):
    component = Filtering


class ForgetsTheFilter(Filtering):
    queries = BestSelection.queries


class FiltersOneOfTwo(Filtering):
    def queries(self, document, noise):
        return {
            name: one if name == "text" else replace(one, where=None) for name, one in super().queries(document, noise).items()
        }


class FiltersAndSaysNothing(Filtering):
    def __init__(self, options):
        super().__init__(options)
        self.filters = False


class SaysItFilters(BestSelection):
    filters = True


class FiltersByItsOwn(Filtering):
    def queries(self, document, noise):
        found = super().queries(document, noise)
        return {name: replace(one, where=one.where and "n > 1") for name, one in found.items()}


class NoCandidates(BestSelection):
    candidates = 0


class FailsOnNothing(BestSelection):
    def select(self, *given):
        return [super().select(*given)[-1]]


CAUGHT = [
    (TakesNothing, "test_it_takes_something_where_there_is_plenty"),
    (BestFirst, "test_the_best_is_last"),
    (ItsOwnNeighbour, "test_a_document_is_never_its_own_neighbour"),
    (LosesAllBesideItself, "test_a_document_is_never_its_own_neighbour"),
    (Twice, "test_no_document_is_taken_twice"),
    (Invents, "test_it_takes_only_what_was_found"),
    (OtherDocuments, "test_it_takes_only_what_was_found"),
    (Rescales, "test_it_takes_only_what_was_found"),
    (OneName, "test_it_takes_only_what_was_found"),
    (NeedsBoth, "test_it_takes_something_where_there_is_plenty"),
    (ReadsThePadding, "test_it_takes_only_what_was_found"),
    (ReadsTheBank, "test_it_reads_only_what_was_found"),
    (TakesAll, "test_candidates_and_documents_are_obeyed"),
    (LargerKeyFirst, "test_equal_scores_go_by_key"),
    (Shuffles, "test_the_same_hits_give_the_same_choice"),
    (Seeds, "test_the_same_hits_give_the_same_choice"),
    (DropsWords, "test_the_same_document_asks_the_same"),
    (RemembersWhatItTook, "test_the_same_hits_give_the_same_choice"),
    (RemembersTheLastText, "test_the_same_document_asks_the_same"),
    (SortsHits, "test_what_is_given_is_not_changed"),
    (PopsHits, "test_what_is_given_is_not_changed"),
    (AsksByNoName, "test_queries_are_named_and_have_no_vectors"),
    (Embeds, "test_queries_are_named_and_have_no_vectors"),
    (AsksByBlanks, "test_nothing_to_ask_by_gives_no_queries"),
    (AsksByIds, "test_it_asks_by_what_the_document_says"),
    (AsksByTheAnswer, "test_what_is_to_be_drawn_is_not_asked_by"),
    (Darkens, "test_documents_are_left_as_they_were"),
    (Unmarked, "test_unmarked_options_change_nothing"),
    (CapsByScores, "test_scores_of_another_scale_change_nothing"),
    (DrawsByAGeneratorOfItsOwn, "test_the_same_hits_give_the_same_choice"),
    (ForgetsTheFilter, "test_every_query_carries_the_filter_and_filters_says_so"),
    (FiltersOneOfTwo, "test_every_query_carries_the_filter_and_filters_says_so"),
    (FiltersAndSaysNothing, "test_every_query_carries_the_filter_and_filters_says_so"),
    (SaysItFilters, "test_every_query_carries_the_filter_and_filters_says_so"),
    (FiltersByItsOwn, "test_every_query_carries_the_filter_and_filters_says_so"),
    (NoCandidates, "test_candidates_and_documents_are_obeyed"),
    (FailsOnNothing, "test_nothing_found_gives_nothing"),
]


@pytest.mark.parametrize(("component", "rule"), CAUGHT, ids=lambda one: getattr(one, "__name__", ""))
def test_a_broken_selection_is_caught_by_the_rule_that_it_breaks(component: type[BestSelection], rule: str) -> None:
    assert_caught(SelectionContract, component, rule)


def test_a_store_in_memory_gives_documents_and_vectors_in_the_order_of_the_keys() -> None:
    texts = np.eye(3, dtype=np.float32)
    images = texts[::-1].copy()
    store = MemoryStore(np.array([7, -1, 9]), [Document((), id=name) for name in "abc"], texts, images)
    assert [one.id for one in store.documents([9, 7])] == ["c", "a"]
    np.testing.assert_array_equal(store.vectors(np.array([9, 7]), "image"), images[[2, 0]])
    np.testing.assert_allclose(store.vectors(np.array([7]), "document"), [[2**-0.5, 0, 2**-0.5]])
    assert store.hits(texts[0], 2).keys.tolist() == [[7, 9]]
    with pytest.raises(BankError, match="no document with the key 8"):
        store.vectors(np.array([8]), "text")
    assert store.asked == [9, 7, 9, 7, 7, 8]
