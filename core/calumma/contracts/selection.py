"""The contract of selections: what may be asked of a bank, and what may be taken of its answers."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np

from calumma.contracts.contract import Contract, rule
from calumma.contracts.samples.prompts import PIXELS, document_of, prompts
from calumma.contracts.samples.store import MemoryStore
from calumma.documents import Document, Hole, Image, Text
from calumma.interfaces import Hits, Noise, Query, Retrieved, Selection, normalised

DIMENSION, DOCUMENTS = 48, 24
NAMES = ("text", "image")
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Case:
    """One call of `select`: what a pipeline would hand over after it asked a bank."""

    document: Document
    queries: Mapping[str, Query]
    hits: Mapping[str, Hits]
    store: MemoryStore

    def chosen(self, selection: Selection, seed: int = 0) -> list[Retrieved]:
        """What the selection takes."""
        return selection.select(self.document, self.queries, self.hits, self.store, Noise(seed))

    def one(self, name: str) -> Case:
        """The same with one query alone."""
        return replace(self, queries={name: self.queries[name]}, hits={name: self.hits[name]})


class SelectionContract(Contract[Selection]):
    """What a selection keeps: it is pure, takes nothing that was not found, nothing twice, and never the document itself."""

    kind = "selection"

    # --- what rules are written with ---

    def case(self, seed: int = 0, k: int = 16, own: str | None = None, lacking: bool = True) -> Case:
        """Documents around two queries, none too close to another: scores of 0.3 to 0.6, a third without text or image.

        Args:
            own: a document's id, under which the prompt is asked for. lacking: False for documents that have both parts.
        """
        draw = np.random.default_rng(seed)
        axes = np.linalg.qr(draw.normal(size=(DIMENSION, DIMENSION)))[0].astype(np.float32)
        asked, others = axes[:2], axes[2 : 2 + DOCUMENTS]
        near = draw.permutation(np.linspace(0.35, 0.75, 2 * DOCUMENTS)).reshape(DOCUMENTS, 2, 1).astype(np.float32)
        texts = normalised(others + near[:, 0] * asked[0] + 0.5 * near[:, 1] * asked[1])
        images = normalised(others + near[:, 1] * asked[1] + 0.5 * near[:, 0] * asked[0])
        parts = [(True, True)] * DOCUMENTS
        if lacking:
            texts[1::6], images[2::6] = 0, 0
            parts = [(i % 6 != 1, i % 6 != 2) for i in range(DOCUMENTS)]
        keys = np.array([-1, -(2**63), 2**63 - 1, 0, *draw.choice(10**12, DOCUMENTS - 4, replace=False)], np.int64)
        documents = [document_of(i, *has) for i, has in enumerate(parts)]
        prompt = Document((Text("a red apple"), Image(PIXELS), Hole("image", (4, 4))), id=own)
        vectors = dict(zip(NAMES, asked, strict=True))
        queries = {"text": Query(vector=vectors["text"], text="a red apple"), "image": Query(vectors["image"], image=PIXELS)}
        store = MemoryStore(keys, documents, texts, images)
        return Case(prompt, queries, {name: store.hits(vector, k) for name, vector in vectors.items()}, store)

    def alike(self, seed: int = 0) -> Case:
        """Documents that are all as near to the one query as the others, and to one another, to the last bit."""
        case = self.case(seed, lacking=False).one("text")
        rows = 0.75**0.5 * np.eye(DIMENSION, dtype=np.float32)[1 : 1 + DOCUMENTS]
        rows[:, 0] = 0.5
        store = MemoryStore(case.store.keys, case.store.documents(case.store.keys.tolist()), rows, rows)
        asked = np.eye(DIMENSION, dtype=np.float32)[0]
        return Case(case.document, {"text": Query(asked, "a red apple")}, {"text": store.hits(asked, DOCUMENTS)}, store)

    def _asks(self, selection: Selection, document: Document, seed: int) -> Mapping[str, object]:
        return self.asked(selection.queries(document, Noise(seed)))

    def _chooses(self, selection: Selection, case: Case, seed: int) -> list[tuple[str | None, int, float, str]]:
        return self.told(case.chosen(selection, seed))

    def told(self, taken: list[Retrieved]) -> list[tuple[str | None, int, float, str]]:
        """A choice in values that can be compared."""
        return [(one.document.id, one.key, one.score, one.query) for one in taken]

    def asked(self, queries: Mapping[str, Query]) -> dict[str, tuple[str | None, bytes | None, list[int], str | None]]:
        """Queries in values that can be compared."""
        return {
            name: (query.text, None if query.image is None else query.image.tobytes(), query.exclude.tolist(), query.where)
            for name, query in queries.items()
        }

    def undisturbed(self, call: Callable[[], T]) -> list[T]:
        """What a call gives under two states of the global random generators. Fails where it moves them."""
        import torch

        answers = []
        for seed in (0, 1):
            random.seed(seed)
            np.random.seed(seed)
            torch.manual_seed(seed)
            before = (random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist())
            answers.append(call())
            after = (random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist())
            assert before == after, "it draws from a global random generator, or seeds one."
        return answers

    # --- what it asks ---

    @rule
    def test_queries_are_named_and_have_no_vectors(self) -> None:
        """Queries are named text and image, the one with words and the other with a picture, and neither has a vector yet."""
        selection, asks = self.make(), 0
        for document in prompts():
            for name, query in selection.queries(document, Noise(0)).items():
                asks += 1
                assert name in NAMES, f"it asks by {name!r}."
                assert query.vector is None, f"the query {name!r} has a vector; the pipeline embeds."
                if name == "text":
                    assert (query.text or "").strip(), f"the text query asks by {query.text!r}."
                else:
                    assert query.image is not None, "the image query has no picture."
                    shape, dtype = query.image.shape, str(query.image.dtype)
                    assert (len(shape), shape[-1], dtype) == (3, 3, "uint8"), f"the image query has {shape} of {dtype}."
        assert asks, "it asks nothing, whatever the document."

    @rule
    def test_it_asks_by_what_the_document_says(self) -> None:
        """A text query has words of the document."""
        selection = self.make()
        for document in prompts():
            for seed in range(5):
                query = selection.queries(document, Noise(seed)).get("text")
                if query is not None:
                    words = set(document.text.split()) & set((query.text or "").split())
                    assert words, f"of {document.text!r} it asks {query.text!r}."

    @rule
    def test_nothing_to_ask_by_gives_no_queries(self) -> None:
        """A document with no words and no pixels gives {}."""
        hole, selection = Hole("image", (4, 4)), self.make()
        for document, what in (
            (Document(()), "an empty document"),
            (Document((hole,)), "a hole alone"),
            (Document((Text(""), Text(" \n\t "), hole)), "blank texts"),
            (Document((Image(None, {"tokenizer#0": np.zeros((4, 4), np.int64)}), Hole("text"))), "a picture without pixels"),
        ):
            queries = selection.queries(document, Noise(0))
            assert queries == {}, f"{what} gives {sorted(queries)}."

    @rule
    def test_what_is_to_be_drawn_is_not_asked_by(self) -> None:
        """Pixels under the mask of a picture that is drawn anew change no query: they are not known."""
        selection = self.make()
        for masked in (np.ones((4, 4), bool), np.arange(16).reshape(4, 4) % 3 == 0):
            cells = np.kron(masked, np.ones((4, 4), bool))
            asked = []
            for value in (0, 200):
                pixels = PIXELS.copy()
                pixels[cells] = value
                document = Document((Text("a red apple"), Image(pixels, masked=masked)))
                asked.append(self.asked(selection.queries(document, Noise(0))))
            assert asked[0] == asked[1], "pixels under the mask are in a query."

    @rule
    def test_every_query_carries_the_filter_and_filters_says_so(self) -> None:
        """`filters` is true if every query carries a `where`, else none does; an option of that name is what they carry."""
        wanted = [None, "style = 'noto'"] if "where" in self._options_class().model_fields else []
        for selection, where in [(self.make(), ...), *((self.make(where=one), one) for one in wanted)]:
            for document in prompts():
                found = {name: query.where for name, query in selection.queries(document, Noise(0)).items()}
                for name, one in found.items():
                    assert selection.filters is (one is not None), f"filters is {selection.filters}, and {name} has {one!r}."
                    assert where is ... or one == where, f"with the option where = {where!r} the {name} query has {one!r}."

    @rule
    def test_the_same_document_asks_the_same(self) -> None:
        """Queries depend on the document and the noise alone: not on global random generators, nor on what was asked before."""
        selection = self.make()
        for document in prompts():
            for seed in (0, 7):
                first, again = self.undisturbed(partial(self._asks, selection, document, seed))
                fresh = self.asked(self.make().queries(document, Noise(seed)))
                assert first == again, f"{document.text!r} asked {sorted(first)} and then {sorted(again)}, or other words."
                assert first == fresh, f"{document.text!r} asks otherwise after other documents."

    @rule
    def test_documents_are_left_as_they_were(self) -> None:
        """Asking by a document leaves its pixels as they were."""
        selection = self.make()
        for document in prompts():
            pictures = [part.pixels for part in document.parts if isinstance(part, Image) and part.pixels is not None]
            before = [pixels.copy() for pixels in pictures]
            selection.queries(document, Noise(0))
            assert all(map(np.array_equal, pictures, before)), "`queries` changed the pixels of the document."

    # --- what it takes ---

    @rule
    def test_it_takes_something_where_there_is_plenty(self) -> None:
        """Of many documents that are related to the queries and unlike one another it takes at least one."""
        selection = self.make()
        for case in self._cases(selection):
            assert case.chosen(selection), f"it took nothing of {len(case.store.keys)} documents by {' and '.join(case.hits)}."

    def _cases(self, selection: Selection) -> list[Case]:
        k = min(selection.candidates, DOCUMENTS)
        cases = [self.case(seed, k) for seed in range(4)]
        return [*cases, cases[0].one("text"), cases[1].one("image"), self.case(5, k, lacking=False)]

    @rule
    def test_it_takes_only_what_was_found(self) -> None:
        """What it takes is among the hits of the query it names, with that hit's score and that key's document."""
        selection = self.make()
        for case in [*self._cases(selection), self.case(6, 3), self.case(7, 1)]:
            padded = {name: _padded(hits) for name, hits in case.hits.items()}
            for one in replace(case, hits=padded).chosen(selection):
                assert one.query in case.hits, f"it names the query {one.query!r}; there are {sorted(case.hits)}."
                hits = case.hits[one.query]
                scores = dict(zip(hits.keys[0].tolist(), hits.scores[0].tolist(), strict=True))
                assert one.key in scores, f"it took the key {one.key}, which {one.query!r} did not find."
                assert abs(one.score - scores[one.key]) < 1e-6, f"its score is {one.score}, and the hit's {scores[one.key]}."
                (document,) = case.store.documents([one.key])
                assert one.document.id == document.id, f"under the key {one.key} it gives the document {one.document.id!r}."
                assert one.document.parts == document.parts, f"it changed the document {one.document.id!r}."

    @rule
    def test_it_reads_only_what_was_found(self) -> None:
        """It reads nothing of the bank but documents and vectors of hits."""
        selection = self.make()
        for case in self._cases(selection):
            hits = {name: _padded(_first(one, 5)) for name, one in case.hits.items()}
            case.store.asked.clear()
            replace(case, hits=hits).chosen(selection)
            known = {key for one in hits.values() for key in one.keys[0, : one.counts[0]].tolist()}
            strange = set(case.store.asked) - known
            assert not strange, f"it read {sorted(strange)[:3]}, which were not found."

    @rule
    def test_no_document_is_taken_twice(self) -> None:
        """A document that several queries find is taken once."""
        selection = self.make()
        for case in self._cases(selection):
            query = next(iter(case.queries.values()))
            hits = next(iter(case.hits.values()))
            both = replace(case, queries=dict.fromkeys(NAMES, query), hits=dict.fromkeys(NAMES, hits))
            for one in (case, both):
                keys = [taken.key for taken in one.chosen(selection)]
                assert len(set(keys)) == len(keys), f"it took {keys}."

    @rule
    def test_a_document_is_never_its_own_neighbour(self) -> None:
        """A document that is in the bank itself, by its id, is not laid before itself; one without an id loses nothing."""
        selection = self.make()
        for seed in range(4):
            for case in (self.case(seed), self.case(seed).one("text"), self.case(seed).one("image")):
                for best in case.chosen(selection):
                    own = replace(case, document=replace(case.document, id=best.document.id))
                    ids = [one.document.id for one in own.chosen(selection)]
                    assert best.document.id not in ids, f"{best.document.id!r} was laid before itself: {ids}."
                    assert ids, f"without {best.document.id!r} it took nothing, although there is more."

    @rule
    def test_the_best_is_last(self) -> None:
        """The best is last, nearest to the document: of one query's documents, alike in parts, none scores above it."""
        selection = self.make()
        for seed in range(8):
            for name in NAMES:
                scores = [one.score for one in self.case(seed, lacking=False).one(name).chosen(selection)]
                assert not scores or scores[-1] == max(scores), f"in the order they were taken the scores are {scores}."

    @rule
    def test_equal_scores_go_by_key(self) -> None:
        """Of documents that score alike, the one with the smaller key is the better, and so nearer to the document."""
        selection = self.make()
        for seed in range(4):
            keys = [one.key for one in self.alike(seed).chosen(selection)]
            assert keys == sorted(keys, reverse=True), f"with equal scores it took {keys}."

    @rule
    def test_scores_of_another_scale_change_nothing(self) -> None:
        """Scores of another scale, as text matches have, change nothing: hits give the order, vectors say what is too near."""
        selection = self.make()
        for case in self._cases(selection):
            before = [(one.key, one.query) for one in case.chosen(selection)]
            for scale in (16, 1 / 1024):  # powers of two round nothing
                hits = {name: replace(one, scores=one.scores * np.float32(scale)) for name, one in case.hits.items()}
                taken = [(one.key, one.query) for one in replace(case, hits=hits).chosen(selection)]
                assert taken == before, f"with scores {scale} times as large it took {taken}, and else {before}."

    @rule
    def test_nothing_found_gives_nothing(self) -> None:
        """Hits without a count, and no hits at all, give []."""
        selection, case = self.make(), self.case()
        for hits in ({}, {"text": _first(case.hits["text"], 0)}, dict.fromkeys(NAMES, _padded(_first(case.hits["text"], 0)))):
            for queries in (case.queries, {name: case.queries[name] for name in hits}):
                taken = replace(case, queries=queries, hits=hits).chosen(selection)
                assert taken == [], f"it took {self.told(taken)}."
        half = {**case.hits, "image": _padded(_first(case.hits["image"], 0))}
        taken = replace(case, hits=half).chosen(selection)
        assert taken, "with hits by text alone it took nothing."

    @rule
    def test_candidates_and_documents_are_obeyed(self) -> None:
        """`candidates` is at least 1, and the option of that name if there is one; an option `documents` is a limit."""
        fields = self._options_class().model_fields
        selection = self.make(warm=False)
        count = selection.candidates
        assert isinstance(count, int), f"`candidates` is {count!r}."
        assert count >= 1, f"`candidates` is {count}."
        if "candidates" in fields:
            for wanted in (1, 5):
                told = self.make(candidates=wanted).candidates
                assert told == wanted, f"with the option candidates = {wanted} it asks for {told}."
        for case in self._cases(selection):
            offered = sum(int(one.counts[0]) for one in case.hits.values())
            assert len(case.chosen(selection)) <= offered, f"it took more than the {offered} that were found."
            if "documents" in fields:
                taken = [len(case.chosen(self.make(documents=limit))) for limit in (0, 1, 2)]
                assert (np.array(taken) <= [0, 1, 2]).all(), f"with limits of 0, 1 and 2 it took {taken}."

    @rule
    def test_unmarked_options_change_nothing(self) -> None:
        """An option that is not marked as changing meaning changes neither what is asked nor what is taken."""
        selection = self.make()
        for change, other in self.unmarked(selection):
            assert other.candidates == selection.candidates, f"with {change} it asks for {other.candidates}."
            for document in prompts():
                asked, before = (self._asks(one, document, 0) for one in (other, selection))
                assert asked == before, f"with {change} it asks otherwise by {document.text!r}."
            for case in self._cases(selection):
                taken, else_taken = (self.told(case.chosen(one)) for one in (other, selection))
                assert taken == else_taken, f"with {change} it takes {taken}, and else {else_taken}."

    # --- purity ---

    @rule
    def test_the_same_hits_give_the_same_choice(self) -> None:
        """The choice depends on what is given and the noise alone: not on global random generators, nor on earlier choices."""
        selection = self.make()
        for case in self._cases(selection):
            for seed in (0, 7):
                first, again = self.undisturbed(partial(self._chooses, selection, case, seed))
                assert first == again, f"it chose {first} and then {again}."
                fresh = self.told(case.chosen(self.make(), seed))
                assert first == fresh, f"after other choices it chooses {first}, and at first {fresh}."

    @rule
    def test_what_is_given_is_not_changed(self) -> None:
        """`select` leaves hits, queries, the document and the bank as they were."""
        selection = self.make()
        for case in self._cases(selection):
            twin = {name: Hits(one.keys.copy(), one.scores.copy(), one.counts.copy()) for name, one in case.hits.items()}
            vectors = {name: np.array(query.vector) for name, query in case.queries.items()}
            parts: tuple[Any, ...] = ("document", "text", "image")
            stored = [case.store.vectors(case.store.keys, part) for part in parts]
            for document in (case.document, replace(case.document, id="d0")):
                replace(case, document=document).chosen(selection)
            assert set(case.queries) == set(case.hits) == set(twin), "it changed the mappings of queries or hits."
            for name, one in case.hits.items():
                for field in ("keys", "scores", "counts"):
                    assert np.array_equal(getattr(one, field), getattr(twin[name], field)), f"it changed the {field} of hits."
                assert np.array_equal(np.asarray(case.queries[name].vector), vectors[name]), "it changed a query's vector."
            for part, before in zip(parts, stored, strict=True):
                assert np.array_equal(case.store.vectors(case.store.keys, part), before), f"it changed {part} vectors."


def _padded(hits: Hits) -> Hits:
    """The same answers with room for four more."""
    return Hits(
        np.pad(hits.keys, ((0, 0), (0, 4)), constant_values=-1),
        np.pad(hits.scores, ((0, 0), (0, 4)), constant_values=-np.inf),
        hits.counts.copy(),
    )


def _first(hits: Hits, k: int) -> Hits:
    """The k best of the answers to one query."""
    count = int(hits.counts[0])
    return Hits.of([(hits.keys[0, :count], hits.scores[0, :count])], k)
