"""selection/cm3leon: what it asks, what it takes, and above all what it must never take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calumma.documents import Document, Hole, Image, Text
from calumma.interfaces import Hits, Noise, Query, Retrieved, VectorPart, normalised
from calumma_plugins.selection.cm3leon import CM3LeonSelection
from calumma_plugins.selection.options import CM3LeonOptions

PIXELS = np.zeros((2, 2, 3), np.uint8)
PROMPT = Document((Text("a red apple"), Hole("image", (2, 2))))
NOISE = Noise(0)
SELECT = {"score_cap": 1.0, "part_cap": 1.0, "diversity_cap": 1.0}


class Store:
    """Documents in memory: rows of text and image vectors, zeros where a part is missing."""

    def __init__(self, texts: np.ndarray, images: np.ndarray) -> None:
        self.parts = {"text": texts, "image": images, "document": normalised(texts + images)}

    def documents(self, keys: Sequence[int]) -> list[Document]:
        return [Document((Text(f"document {key}"),), id=f"id{key}") for key in keys]

    def vectors(self, keys: np.ndarray, part: VectorPart) -> np.ndarray:
        return np.asarray(self.parts[part][keys], np.float32)

    def hits(self, query: np.ndarray, k: int = 32) -> Hits:
        scores = self.parts["document"] @ query
        return Hits.of([(np.arange(len(scores)), scores.astype(np.float32))], k)


def unit(*values: float) -> np.ndarray:
    return normalised(np.array([values], np.float32))[0]


def choose(store: Store, text: np.ndarray | None = None, image: np.ndarray | None = None, **options: object) -> list[Retrieved]:
    queries = {name: Query(vector=v) for name, v in (("text", text), ("image", image)) if v is not None}
    hits = {name: store.hits(query.vector) for name, query in queries.items() if query.vector is not None}
    return CM3LeonSelection(CM3LeonOptions(**options)).select(PROMPT, queries, hits, store, NOISE)


def random_store(seed: int, n: int) -> tuple[Store, np.ndarray, np.ndarray]:
    """Documents near one another, of which a third lack a text and a third lack an image."""
    draw = np.random.default_rng(seed)
    parts = normalised((draw.normal(size=(2 * n + 2, 4)) + 1.0).astype(np.float32))
    texts, images = parts[:n].copy(), parts[n : 2 * n].copy()
    kind = draw.integers(0, 3, n)
    texts[kind == 1], images[kind == 2] = 0, 0
    return Store(texts, images), parts[-2], parts[-1]


def test_it_asks_by_text_and_by_picture() -> None:
    selection = CM3LeonSelection(CM3LeonOptions())
    both = Document((Text("make it blue"), Image(PIXELS), Hole("image", (2, 2))))
    assert {name: query.text for name, query in selection.queries(both, NOISE).items()} == {
        "text": "make it blue",
        "image": None,
    }
    assert selection.queries(both, NOISE)["image"].image is PIXELS
    assert list(selection.queries(PROMPT, NOISE)) == ["text"]
    assert list(selection.queries(Document((Hole("text"), Image(PIXELS))), NOISE)) == ["image"]
    assert selection.queries(Document((Text(" "), Hole("image", (2, 2)))), NOISE) == {}
    for by in ("text", "image"):
        assert list(CM3LeonSelection(CM3LeonOptions(by=by)).queries(both, NOISE)) == [by]


def test_a_masked_picture_is_not_asked_by() -> None:
    masked = Document((Text("a"), Image(PIXELS, masked=np.ones((2, 2), bool))))
    assert list(CM3LeonSelection(CM3LeonOptions()).queries(masked, NOISE)) == ["text"]


@given(seed=st.integers(0, 2**63 - 1), words=st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=30))
def test_dropout_keeps_order_and_at_least_one_word_and_depends_on_the_seed_alone(seed: int, words: list[str]) -> None:
    selection = CM3LeonSelection(CM3LeonOptions(query_dropout=0.5))
    document = Document((Text(" ".join(words)),))
    asked = selection.queries(document, Noise(seed))["text"].text or ""
    rest = iter(words)
    assert asked.split()
    assert all(word in rest for word in asked.split())
    assert asked == selection.queries(document, Noise(seed))["text"].text


def test_dropout_drops_its_share() -> None:
    selection = CM3LeonSelection(CM3LeonOptions(query_dropout=0.2))
    document = Document((Text("word " * 100),))
    kept = [len((selection.queries(document, Noise(seed))["text"].text or "").split()) for seed in range(40)]
    assert 76 < np.mean(kept) < 84


def test_the_best_comes_last() -> None:
    store = Store(np.stack([unit(1, x) for x in (0.9, 0.5, 0.7)]), np.stack([unit(1, x) for x in (0.9, 0.5, 0.7)]))
    taken = choose(store, unit(1, 0), documents=3, **SELECT)
    assert [one.key for one in taken] == [0, 2, 1]
    assert taken[-1].score == pytest.approx(float(unit(1, 0.5) @ unit(1, 0)))
    assert taken[-1].query == "text"


def test_documents_of_both_modalities_go_before_better_ones_of_one() -> None:
    texts = np.stack([unit(1, 0.5), unit(1, 1.5), unit(1, 2)])
    images = np.stack([unit(1, 0.5) * 0, unit(1, 1.5), unit(1, 2)])
    store = Store(texts, images)
    assert [one.key for one in choose(store, unit(1, 0), documents=3, **SELECT)] == [0, 2, 1]
    assert [one.key for one in choose(store, unit(1, 0), documents=2, **SELECT)] == [2, 1]


def test_text_and_image_queries_take_turns() -> None:
    rows = np.stack([unit(1, 0, 0.1), unit(1, 0, 0.2), unit(0, 1, 0.1), unit(0, 1, 0.2)])
    taken = choose(Store(rows, rows), unit(1, 0, 0), unit(0, 1, 0), documents=4, **SELECT)
    assert [(one.key, one.query) for one in taken[::-1]] == [(0, "text"), (2, "image"), (1, "text"), (3, "image")]


def test_a_part_cap_fires_where_the_score_cap_cannot() -> None:
    """CM3Leon's renormalised mean: a caption that is the query's very words scores sqrt((1 + c) / 2), 0.81 at c = 0.3."""
    query = unit(1, 0, 0)
    image = np.array([0.3, np.sqrt(1 - 0.09), 0], np.float32)
    store = Store(np.stack([query, unit(0.6, 0, 1)]), np.stack([image, unit(0.6, 0.2, 1)]))
    assert float(store.parts["document"][0] @ query) == pytest.approx(np.sqrt((1 + 0.3) / 2), abs=1e-6)
    assert [one.key for one in choose(store, query, part_cap=1.0, score_cap=0.9)] == [1, 0]
    assert [one.key for one in choose(store, query, part_cap=0.9, score_cap=0.9)] == [1]


def test_a_part_cap_fires_on_pictures_too() -> None:
    image = unit(0, 1, 0)
    store = Store(np.stack([unit(1, 0, 0), unit(1, 0, 0.2)]), np.stack([image, unit(0, 0.3, 1)]))
    assert [one.key for one in choose(store, None, image, part_cap=0.9)] == [1]


def test_near_duplicates_are_taken_once() -> None:
    rows = np.stack([unit(1, 0.5, 0), unit(1, 0.51, 0), unit(1, 0, 0.8)])
    assert [one.key for one in choose(Store(rows, rows), unit(1, 0.3, 0), documents=3, score_cap=1, part_cap=1)] == [2, 0]


def test_a_document_is_never_its_own_neighbour() -> None:
    rows = np.stack([unit(1, 0.1), unit(1, 0.2), unit(1, 0.9)])
    store, query = Store(rows, rows), unit(1, 0)
    selection = CM3LeonSelection(CM3LeonOptions(**SELECT))
    own = Document(PROMPT.parts, id="id0")
    taken = selection.select(own, {"text": Query(vector=query)}, {"text": store.hits(query)}, store, NOISE)
    assert [one.document.id for one in taken] == ["id2", "id1"]


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(0, 25),
    documents=st.integers(0, 5),
    caps=st.tuples(*[st.sampled_from([0.5, 0.8, 0.9, 0.97, 1.0])] * 3),
    ask=st.sampled_from(["text", "image", "both"]),
)
def test_whatever_is_taken_is_under_every_cap(seed: int, n: int, documents: int, caps: tuple[float, ...], ask: str) -> None:
    store, text, image = random_store(seed, n)
    score_cap, part_cap, diversity_cap = caps
    asked = {"text": text if ask != "image" else None, "image": image if ask != "text" else None}
    options = {"documents": documents, "score_cap": score_cap, "part_cap": part_cap, "diversity_cap": diversity_cap}
    taken = choose(store, **asked, **options)
    keys = [one.key for one in taken]
    assert len(keys) == len(set(keys)) <= documents
    assert keys == [one.key for one in choose(store, **asked, **options)]
    rank = {"score": score_cap, "text": part_cap, "image": part_cap}
    for one in taken:
        assert one.score <= rank["score"] + 1e-5
        for part in ("text", "image"):
            if (query := asked[part]) is not None:
                assert store.parts[part][one.key] @ query <= rank[part] + 1e-5
    vectors = store.parts["document"][keys]
    products = vectors @ vectors.T - 2 * np.eye(len(keys))
    assert (products <= diversity_cap + 1e-5).all()
    both = [bool(store.parts["text"][key].any() and store.parts["image"][key].any()) for key in keys]
    assert both == sorted(both)


def test_nothing_found_gives_nothing() -> None:
    assert choose(Store(np.zeros((0, 2), np.float32), np.zeros((0, 2), np.float32)), unit(1, 0)) == []


def test_how_many_to_ask_for_is_an_option() -> None:
    assert CM3LeonSelection(CM3LeonOptions(candidates=7)).candidates == 7


def matched(keys: Sequence[int], scores: Sequence[float]) -> Hits:
    """Hits of an engine that matches words: its own order, on a scale of its own."""
    return Hits.of([(np.array(keys), np.array(scores, np.float32))], len(keys))


def test_caps_look_at_inner_products_and_not_at_scores_of_a_text_match() -> None:
    rows = np.stack([unit(1, 0.1, 0), unit(0.5, 1, 0), unit(0.5, 0, 1)])
    store, query = Store(rows, rows), unit(1, 0, 0)
    selection = CM3LeonSelection(CM3LeonOptions(documents=3, part_cap=1, diversity_cap=1))
    for scores in ((31.0, 12.5, 7.0), (0.016, 0.0159, 0.0158)):
        hits = matched([0, 1, 2], scores)
        taken = selection.select(PROMPT, {"text": Query(vector=query)}, {"text": hits}, store, NOISE)
        assert [(one.key, one.score) for one in taken] == [(2, np.float32(scores[2])), (1, np.float32(scores[1]))]


def test_the_order_is_that_of_the_hits_whatever_the_vectors_say() -> None:
    rows = np.stack([unit(1, 0.2), unit(1, 0.6), unit(1, 1.2)])
    store, hits = Store(rows, rows), matched([2, 0, 1], [9, 5, 1])
    selection = CM3LeonSelection(CM3LeonOptions(documents=3, **SELECT))
    taken = selection.select(PROMPT, {"text": Query(vector=unit(1, 0))}, {"text": hits}, store, NOISE)
    assert [one.key for one in taken] == [1, 0, 2]


def test_a_query_without_a_vector_is_capped_by_diversity_alone() -> None:
    rows = np.stack([unit(1, 0), unit(1, 0.01), unit(0, 1)])
    selection = CM3LeonSelection(CM3LeonOptions(documents=3))
    query = {"text": Query(text="a red apple")}
    taken = selection.select(PROMPT, query, {"text": matched([0, 1, 2], [3, 2, 1])}, Store(rows, rows), NOISE)
    assert [one.key for one in taken] == [2, 0]


def spread(number: int) -> tuple[Store, np.ndarray, np.ndarray]:
    """Documents far from one another: the first half nearer to a text query, the second to an image query."""
    rows = np.eye(number + 2, dtype=np.float32)[2:].copy()
    nearness = np.linspace(0.6, 0.4, number // 2)
    rows[: number // 2, 0], rows[number // 2 :, 1] = nearness, nearness
    rows = normalised(rows)
    return Store(rows, rows), np.eye(number + 2, dtype=np.float32)[0], np.eye(number + 2, dtype=np.float32)[1]


def test_two_by_the_text_and_two_by_the_picture() -> None:
    store, text, image = spread(12)
    taken = choose(store, text, image, documents=4, per_query=2)
    assert [(one.key, one.query) for one in taken[::-1]] == [(0, "text"), (6, "image"), (1, "text"), (7, "image")]
    assert [one.key for one in choose(store, text, documents=4, per_query=2)] == [1, 0]
    assert [one.key for one in choose(store, text, documents=4)] == [3, 2, 1, 0]


def test_a_limit_per_query_counts_documents_of_one_modality_too() -> None:
    store, text, _ = spread(12)
    store.parts["image"][:3] = 0
    assert [one.key for one in choose(store, text, documents=4, per_query=2)] == [4, 3]
    store.parts["image"][[3, 4, *range(6, 12)]] = 0
    assert [one.key for one in choose(store, text, documents=4, per_query=2)] == [0, 5]


def test_training_draws_three_of_the_four_each_set_as_often_as_the_others() -> None:
    store, text, image = spread(12)
    queries = {"text": Query(vector=text), "image": Query(vector=image)}
    hits = {"text": store.hits(text), "image": store.hits(image)}
    selection = CM3LeonSelection(CM3LeonOptions(documents=3, per_query=2, choose="random"))
    drawn = Counter(
        tuple(one.key for one in selection.select(PROMPT, queries, hits, store, Noise(seed))) for seed in range(1000)
    )
    assert set(drawn) == {(1, 6, 0), (7, 6, 0), (7, 1, 0), (7, 1, 6)}
    assert all(190 < count < 310 for count in drawn.values())


def test_of_no_more_than_it_wants_it_draws_all() -> None:
    store, text, _ = spread(4)
    assert len(choose(store, text, documents=3, choose="random")) == 3
    assert [one.key for one in choose(store, text, documents=5, choose="random")] == [3, 2, 1, 0]
    assert choose(store, text, documents=0, choose="random") == []


def test_a_filter_goes_with_every_query() -> None:
    both = Document((Text("make it blue"), Image(PIXELS), Hole("image", (2, 2))))
    selection = CM3LeonSelection(CM3LeonOptions(where="style = 'noto'", query_dropout=0.5))
    assert selection.filters
    assert [query.where for query in selection.queries(both, NOISE).values()] == ["style = 'noto'"] * 2
    assert not CM3LeonSelection(CM3LeonOptions()).filters
    assert CM3LeonSelection(CM3LeonOptions()).fingerprint() != selection.fingerprint()
    assert len({CM3LeonSelection(CM3LeonOptions(where=one)).fingerprint() for one in ("a = 1", "a = 2", None)}) == 3
    assert {query.where for query in CM3LeonSelection(CM3LeonOptions()).queries(both, NOISE).values()} == {None}
