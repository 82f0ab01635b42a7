"""bm25/text scores as the formulas say, grows and shrinks as if it were built at once, and knows words of any script."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bm25s
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calumma.errors import AssetError, InputError
from calumma.interfaces import Entries, Hits, Query
from calumma_plugins.bm25.options import BM25Options
from calumma_plugins.bm25.text import BM25
from calumma_plugins.bm25.words import words_of

METHODS = ("lucene", "robertson", "atire", "bm25l", "bm25+")
TEXTS = [
    "a red apple on a table",
    "a green apple, and a red one: an apple a day",
    "the sun over a river",
    "rain",
    "a river, a table, a day in the rain, and the sun, at last, over the river",
    "",
    "red red red",
]


def filled(texts: list[str] = TEXTS, **options: Any) -> BM25:
    index = BM25(BM25Options(**options))
    index.add(entries(texts))
    return index


def entries(texts: list[str], first: int = 0) -> Entries:
    return Entries(np.arange(first, first + len(texts)) * 10, np.zeros((len(texts), 0), np.float32), texts)


def asked(index: BM25, text: str, k: int = 10, **more: Any) -> dict[int, float]:
    return answers(index.search([Query(text=text, **more)], k))


def answers(hits: Hits) -> dict[int, float]:
    count = hits.counts[0]
    return dict(zip(hits.keys[0, :count].tolist(), hits.scores[0, :count].tolist(), strict=True))


IDF: dict[str, Callable[[int, int], float]] = {
    "lucene": lambda n, total: math.log(1 + (total - n + 0.5) / (n + 0.5)),
    "robertson": lambda n, total: math.log(max(1, (total - n + 0.5) / (n + 0.5))),
    "atire": lambda n, total: math.log(total / n),
    "bm25l": lambda n, total: math.log((total + 1) / (n + 0.5)),
    "bm25+": lambda n, total: math.log((total + 1) / n),
}


def by_the_formula(texts: list[str], question: str, method: str, k1: float, b: float, delta: float) -> dict[int, float]:
    """Kamphuis et al. 2020, table 1, written out."""
    words = [text.replace(",", "").replace(":", "").split() for text in texts]
    mean = sum(map(len, words)) / len(words)
    scores = {}
    for i, text in enumerate(words):
        if not set(text) & set(question.split()):
            continue
        score = 0.0
        for word in question.split():
            n, tf = sum(word in one for one in words), Counter(text)[word]
            if not n:
                continue
            long = 1 - b + b * len(text) / mean
            weight = {
                "lucene": tf / (tf + k1 * long),
                "robertson": tf / (tf + k1 * long),
                "atire": tf * (k1 + 1) / (tf + k1 * long),
                "bm25l": (k1 + 1) * ((c := tf / long) + delta) / (k1 + c + delta),
                "bm25+": delta + tf * (k1 + 1) / (tf + k1 * long),
            }[method]
            score += IDF[method](n, len(words)) * weight
        if score > 0:
            scores[10 * i] = score
    return scores


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("k1", "b", "delta"), [(1.5, 0.75, 0.5), (0.9, 0.4, 1), (2, 0, 0.3), (1.2, 1, 0.5)])
def test_scores_are_those_of_the_formula(method: str, k1: float, b: float, delta: float) -> None:
    index = filled(method=method, k1=k1, b=b, delta=delta)
    for question in ("red apple", "river", "red red rain", "a table in the sun", "nothing of it"):
        expected = by_the_formula(TEXTS, question, method, k1, b, delta)
        assert asked(index, question) == pytest.approx(expected, rel=1e-5, abs=1e-6), question


@pytest.mark.parametrize("method", METHODS)
def test_a_text_that_shares_no_word_is_no_hit(method: str) -> None:
    index = filled(method=method)
    assert set(asked(index, "rain")) == {30, 40}
    assert asked(index, "blue") == asked(index, "") == asked(index, "?!") == {}


def test_equal_scores_are_in_the_order_of_keys() -> None:
    index = filled(["same words"] * 30)
    assert list(asked(index, "words", k=7)) == [0, 10, 20, 30, 40, 50, 60]


@settings(max_examples=60, deadline=None)
@given(data=st.data(), method=st.sampled_from(METHODS))
def test_an_index_that_grew_and_shrank_is_the_one_that_is_built_at_once(data: st.DataObject, method: str) -> None:
    text = st.lists(st.sampled_from(["a", "b", "c", "d", "e", "f", "g", "h"]), max_size=6).map(" ".join)
    index, there = BM25(BM25Options(method=method)), dict[int, str]()
    for step in range(data.draw(st.integers(1, 5))):
        new = data.draw(st.lists(text, max_size=6))
        added = entries(new, 100 * step)
        index.add(added)
        there |= dict(zip(added.keys.tolist(), new, strict=True))
        if data.draw(st.booleans()):
            index.search([Query(text="a")], 3)
        gone = data.draw(st.lists(st.sampled_from([*there, -1]), max_size=4))
        index.remove(np.array(gone, np.int64))
        there = {key: one for key, one in there.items() if key not in gone}
    fresh = BM25(BM25Options(method=method))
    fresh.add(Entries(np.array(list(there), np.int64), np.zeros((len(there), 0), np.float32), list(there.values())))
    questions = [Query(text=one) for one in ("a", "b c", "d a d", "h g f e")]
    expected, found = fresh.search(questions, 8), index.search(questions, 8)
    assert index.size == len(there)
    np.testing.assert_array_equal(expected.keys, found.keys)
    np.testing.assert_array_equal(expected.scores, found.scores)


def test_only_and_exclude_choose_among_the_hits() -> None:
    index = filled()
    best = list(asked(index, "red apple river"))
    assert list(asked(index, "red apple river", only=np.array([*best[1:3], 7]))) == best[1:3]
    assert list(asked(index, "red apple river", only=np.array(best), exclude=np.array(best[:2]))) == best[2:]
    assert asked(index, "red apple river", only=np.zeros(0, np.int64)) == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A Red-hot APPLE_pie, 2.5 kg!", ["a", "red", "hot", "apple", "pie", "2", "5", "kg"]),
        ("Straße STRASSE İstanbul", ["strasse", "strasse", "i̇stanbul"]),
        ("cafe\u0301 café ﬁne", ["café", "café", "fine"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("Яблоко, ЯБЛОКО", ["яблоко", "яблоко"]),
        ("赤いリンゴ apple", ["赤", "い", "リ", "ン", "ゴ", "apple"]),
        ("❤️ 👍🏽 ...", []),
    ],
)
def test_words_are_runs_of_letters_of_any_script(text: str, words: list[str]) -> None:
    assert words_of(text) == words


def test_stopwords_are_left_out_of_texts_and_questions() -> None:
    plain, english = filled(), filled(stopwords="english")
    assert 20 in asked(plain, "the apple")
    assert set(asked(english, "the apple")) == {0, 10}
    assert asked(english, "the") == {}
    assert filled(["der Apfel und die Birne"], stopwords="german").search([Query(text="der und")], 1).counts.tolist() == [0]


@pytest.mark.parametrize("method", METHODS)
def test_bm25s_itself_finds_the_same_in_the_saved_folder(method: str, tmp_path: Path) -> None:
    index = filled(method=method)
    index.save(tmp_path)
    direct = bm25s.BM25.load(tmp_path / "bm25s").get_scores(["red", "apple", "river"])
    for key, score in asked(index, "red apple river").items():
        assert direct[key // 10] == np.float32(score)


def test_an_opened_index_is_mapped_and_grows(tmp_path: Path) -> None:
    index = filled()
    index.save(tmp_path)
    opened = BM25.open(tmp_path, index.options)
    assert isinstance(opened._scores.scores["data"], np.memmap)
    assert isinstance(opened._words, np.memmap)
    opened.add(entries(["a blue apple"], len(TEXTS)))
    assert asked(opened, "blue apple") == asked(filled([*TEXTS, "a blue apple"]), "blue apple")
    opened.remove(np.array([0, 40]))
    assert set(asked(opened, "blue apple rain")) == {10, 30, 70}


def test_an_index_of_texts_without_words_finds_nothing_and_can_be_saved(tmp_path: Path) -> None:
    index = filled(["", "...", "❤️"])
    index.save(tmp_path)
    for one in (index, BM25.open(tmp_path, index.options)):
        assert one.size == 3
        assert asked(one, "words") == {}
    one.add(entries(["words"], 3))
    assert list(asked(one, "words")) == [30]


def test_texts_must_be_there_for_every_key() -> None:
    index = filled()
    for wrong in (None, ["one"], ["one", "two", "three"]):
        with pytest.raises(InputError, match="one text for every key"):
            index.add(Entries(np.array([1, 2]), np.zeros((2, 0), np.float32), wrong))
    assert index.size == len(TEXTS)


def test_an_index_of_other_options_is_refused(tmp_path: Path) -> None:
    filled().save(tmp_path)
    with pytest.raises(AssetError, match="other options"):
        BM25.open(tmp_path, BM25Options(k1=1.2))


@pytest.mark.parametrize("name", ["keys", "ends", "words", "bm25s/indices.csc.index", "bm25s/indptr.csc.index"])
def test_arrays_that_do_not_fit_are_refused(name: str, tmp_path: Path) -> None:
    index = filled()
    index.save(tmp_path)
    good = np.load(tmp_path / f"{name}.npy")
    for wrong in (good[:-1], good.astype(np.float32), good[None], -1 - good):
        np.save(tmp_path / f"{name}.npy", wrong)
        try:
            found = asked(BM25.open(tmp_path, index.options), "red apple river")
        except AssetError:
            continue
        assert found.keys() <= set(range(-70, 70)), "what is not looked at when opened may be found, but nothing breaks"


def test_a_vocabulary_that_is_none_is_refused(tmp_path: Path) -> None:
    index = filled()
    index.save(tmp_path)
    file = tmp_path / "bm25s/vocab.index.json"
    words = json.loads(file.read_text())
    for wrong in ([], list(words), {}, {"a": 0}, {**words, "red": 10**6}, {**words, "red": -1}, dict(list(words.items())[1:])):
        file.write_text(json.dumps(wrong))
        with pytest.raises(AssetError):
            BM25.open(tmp_path, index.options)


def test_rows_beyond_the_texts_are_damage(tmp_path: Path) -> None:
    index = filled()
    index.save(tmp_path)
    rows = np.load(tmp_path / "bm25s/indices.csc.index.npy")
    np.save(tmp_path / "bm25s/indices.csc.index.npy", rows + 100)
    with pytest.raises(AssetError, match="finds what it does not hold"):
        asked(BM25.open(tmp_path, index.options), "red")
