"""selection/mmr, selection/top and selection/random: what each takes of the same hits."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calumma.documents import Document
from calumma.errors import InputError
from calumma.interfaces import Hits, Noise, Query, Retrieved, Selection
from calumma_plugins.selection.at_random import RandomSelection
from calumma_plugins.selection.mmr import MMRSelection
from calumma_plugins.selection.options import MMROptions, RandomOptions, TopOptions
from calumma_plugins.selection.top import TopSelection

from .test_selection import NOISE, PROMPT, Store, matched, random_store, spread, unit


def take(
    selection: Selection,
    store: Store,
    text: np.ndarray | None,
    image: np.ndarray | None = None,
    noise: Noise = NOISE,
    own: str | None = None,
) -> list[Retrieved]:
    queries = {name: Query(vector=v) for name, v in (("text", text), ("image", image)) if v is not None}
    hits = {name: store.hits(query.vector) for name, query in queries.items() if query.vector is not None}
    return selection.select(Document(PROMPT.parts, id=own), queries, hits, store, noise)


def top(**options: Any) -> TopSelection:
    return TopSelection(TopOptions(**options))


def mmr(**options: Any) -> MMRSelection:
    return MMRSelection(MMROptions(**options))


def at_random(**options: Any) -> RandomSelection:
    return RandomSelection(RandomOptions(**options))


# --- selection/top ---


def test_the_best_hits_come_as_they_are_even_the_query_itself() -> None:
    rows = np.stack([unit(1, 0.3), unit(1, 0), unit(1, 0.01)])
    taken = take(top(documents=2), Store(rows, rows), unit(1, 0))
    assert [one.key for one in taken] == [2, 1]
    assert taken[-1].score == pytest.approx(1)


def test_two_queries_take_turns_and_no_document_comes_twice() -> None:
    store, text, image = spread(8)
    assert [one.key for one in take(top(documents=5), store, text, image)][::-1] == [0, 4, 1, 5, 2]
    same = take(top(documents=3), store, text, text)
    assert [(one.key, one.query) for one in same[::-1]] == [(0, "text"), (1, "text"), (2, "text")]


def test_where_one_query_finds_less_the_other_gives_the_rest() -> None:
    store, _, _ = spread(8)
    hits = {"text": matched([3], [7]), "image": matched([5, 6, 7], [3, 2, 1])}
    queries = {"text": Query(), "image": Query()}
    taken = top(documents=4).select(PROMPT, queries, hits, store, NOISE)
    assert [one.key for one in taken[::-1]] == [3, 5, 6, 7]


def test_it_asks_for_one_more_since_one_may_be_the_prompt_itself() -> None:
    store, text, _ = spread(8)
    selection = top(documents=3)
    assert selection.candidates == 4
    assert top(documents=0).candidates == 1
    assert [one.key for one in take(selection, store, text, own="id1")] == [3, 2, 0]


# --- selection/mmr ---


def naive(balance: float, documents: int, store: Store, queries: list[np.ndarray]) -> list[int]:
    """The formula of the paper, word for word."""
    vectors = store.parts["document"].astype(np.float64)
    left, taken = list(range(len(vectors))), list[int]()
    while left and len(taken) < documents:
        worth = {
            i: balance * max(vectors[i] @ query for query in queries)
            - (1 - balance) * max((vectors[i] @ vectors[j] for j in taken), default=0)
            for i in left
        }
        taken.append(max(left, key=lambda i: worth[i]))
        left.remove(taken[-1])
    return taken


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(0, 25),
    documents=st.integers(0, 6),
    balance=st.sampled_from([0.1, 0.3, 0.5, 0.8, 1.0]),
    both=st.booleans(),
)
def test_it_follows_the_formula(seed: int, n: int, documents: int, balance: float, both: bool) -> None:
    store, text, image = random_store(seed, n)
    taken = take(mmr(balance=balance, documents=documents), store, text, image if both else None)
    assert [one.key for one in taken[::-1]] == naive(balance, documents, store, [text, image] if both else [text])
    for one in taken:
        query = text if one.query == "text" else image
        assert one.score == pytest.approx(float(store.parts["document"][one.key] @ query), abs=1e-6)


def test_balance_goes_from_relevance_to_diversity() -> None:
    rows = np.stack([unit(1, 0.1, 0), unit(1, 0.12, 0), unit(1, 0, 0.6), unit(0.1, 0, -1)])
    store, query = Store(rows, rows), unit(1, 0.1, 0)
    order = {balance: [one.key for one in take(mmr(balance=balance), store, query)][::-1] for balance in (1.0, 0.5, 0.0)}
    assert order == {1.0: [0, 1], 0.5: [0, 2], 0.0: [0, 3]}


def test_a_document_that_both_queries_find_counts_by_the_one_it_is_nearer_to() -> None:
    rows = np.stack([unit(0.2, 1), unit(1, 0.6)])
    taken = take(mmr(balance=1), Store(rows, rows), unit(1, 0), unit(0, 1))
    assert [(one.key, one.query) for one in taken[::-1]] == [(0, "image"), (1, "text")]


def test_relevance_is_of_vectors_even_where_a_text_match_found_them() -> None:
    rows = np.stack([unit(1, 0.5), unit(1, 0.1), unit(1, 2)])
    hits = {"text": matched([2, 0, 1], [30, 20, 10])}
    taken = mmr(balance=1, documents=3).select(PROMPT, {"text": Query(vector=unit(1, 0))}, hits, Store(rows, rows), NOISE)
    assert [(one.key, one.score) for one in taken[::-1]] == [(1, 10), (0, 20), (2, 30)]


def test_the_prompt_itself_makes_nothing_redundant() -> None:
    rows = np.stack([unit(1, 0.1), unit(1, 0.11), unit(0.4, 1)])
    store, query = Store(rows, rows), unit(1, 0)
    assert [one.key for one in take(mmr(), store, query, own="id0")][::-1] == [1, 2]


def test_without_a_vector_there_is_no_relevance() -> None:
    store, _, _ = spread(4)
    with pytest.raises(InputError, match="The text query has no vector"):
        mmr().select(PROMPT, {"text": Query(text="words")}, {"text": matched([0], [1])}, store, NOISE)
    nothing = Hits.of([(np.zeros(0, np.int64), np.zeros(0, np.float32))], 3)
    assert mmr().select(PROMPT, {"text": Query(text="words")}, {"text": nothing}, store, NOISE) == []


# --- selection/random ---


def test_every_set_of_hits_is_as_likely_as_any_other_and_keeps_their_order() -> None:
    store, text, _ = spread(4)
    store.parts = {part: rows[:4] for part, rows in store.parts.items()}
    drawn = Counter(tuple(one.key for one in take(at_random(), store, text, noise=Noise(seed))) for seed in range(1200))
    order = store.hits(text).keys[0, :4].tolist()
    assert set(drawn) == {(order[j], order[i]) for i in range(4) for j in range(i + 1, 4)}
    assert all(140 < count < 260 for count in drawn.values())


def test_how_many_it_draws_from_is_an_option() -> None:
    assert at_random(pool=7).candidates == 7


def test_the_prompt_itself_is_never_drawn() -> None:
    store, text, image = spread(6)
    for seed in range(50):
        taken = take(at_random(documents=5), store, text, image, Noise(seed), own="id0")
        assert {one.key for one in taken} == {1, 2, 3, 4, 5}
    assert len(take(at_random(documents=16), store, text)) == 6


def test_other_seeds_draw_other_documents() -> None:
    store, text, _ = spread(12)
    taken = {tuple(one.key for one in take(at_random(documents=3), store, text, noise=Noise(seed))) for seed in range(20)}
    assert len(taken) > 10
