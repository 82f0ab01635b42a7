"""Filters: an SQL condition on metadata and columns finds what it says; what it cannot say is refused in one sentence."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from calumma.bank import Bank, Item, add, build, remove
from calumma.errors import ComponentError, InputError
from calumma.interfaces import Query
from calumma_plugins.exact.flat import Flat
from calumma_plugins.exact.options import FlatOptions
from calumma_plugins.faiss.index import FaissIndex
from calumma_plugins.faiss.options import FaissOptions
from calumma_plugins.hnswlib.hnsw import HNSW
from calumma_plugins.hnswlib.options import HNSWOptions

from .conftest import encoded, picture, words
from .test_bank_cli import answer

ROWS: list[tuple[str, dict[str, Any]]] = [
    ("a red disc", {"style": "noto", "n": 1, "score": 0.5, "free": True, "odd key": "x", "tags": ["a", "b"]}),
    ("a blue disc", {"style": "fluent", "n": 2, "score": 1, "free": False, "mixed": 1, "a.b": 3}),
    ("a red cross", {"style": "noto", "n": -3, "score": 2.5, "mixed": "1", "größe": 7}),
    ("another", {"n": 4, "mixed": True, "Case": "upper", "it's": "quoted", "big": 2**70}),
    ("", {"style": None, "n": 0, "mixed": 1.5, "nested": {"deep": 1}, "big": 1}),
]


def ids(bank: Bank, where: str) -> list[str]:
    return sorted(bank.ids(bank.keys_where(where).tolist()))


def rows(items: list[tuple[str, dict[str, Any]]]) -> list[Item]:
    return [
        Item(f"n{i}", text, encoded(picture((i, 9, 9), i % 9, side=12 + i)) if i % 2 == 0 else None, str(i), metadata)
        for i, (text, metadata) in enumerate(items)
    ]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    """`ROWS`, in one fragment; the second to the fourth have been there longer."""
    place = tmp_path_factory.mktemp("filters") / "bank"
    build(rows(ROWS), place, words())
    return Bank.open(place)


@pytest.fixture(scope="module")
def parted(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    """The same documents, each in a fragment of its own, after one was removed."""
    place = tmp_path_factory.mktemp("filters") / "bank"
    build([Item("gone", "gone", id="gone", metadata={"style": "noto", "n": 99})], place, words())
    for one in rows(ROWS):
        add(place, [one], words())
    remove(place, ["gone"])
    return Bank.open(place)


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("style = 'noto'", "02"),
        ("style != 'noto'", "1"),
        ("style IS NULL", "34"),
        ("style IS NOT NULL AND n > 0", "01"),
        ("style IN ('fluent', 'other') OR n = 4", "13"),
        ("n > 0", "013"),
        ("n BETWEEN -3 AND 1", "024"),
        ("n = 1.0", "0"),
        ("n = 1.5", ""),
        ("n % 2 = 0", "134"),
        ("width > 12.5", "24"),
        ("NOT (n > 0)", "24"),
        ("score >= 1", "12"),
        ("score * 2 = 1", "0"),
        ("free", "0"),
        ("free = false", "1"),
        ("mixed = '1'", "12"),
        ("mixed = 'true'", "3"),
        ("mixed = '1.5'", "4"),
        ("`odd key` = 'x'", "0"),
        ("`größe` = 7", "2"),
        ("größe = 7", "2"),
        ("`Case` = 'upper'", "3"),
        ("`it's` = 'quoted'", "3"),
        ("tags LIKE '%\"a\"%'", "0"),
        ("nested = '{\"deep\": 1}'", "4"),
        (f"big = '{2**70}'", "3"),
        ("text LIKE 'a % disc'", "01"),
        ("text IS NULL", "4"),
        ("lower(text) LIKE '%RED%'", ""),
        ("upper(text) LIKE '%RED%'", "02"),
        ("width = 14", "2"),
        ("width > 12 AND height > 12", "24"),
        ("width IS NULL", "13"),
        ("id = '3'", "3"),
        ("id IN ('0', '4') AND n = 0", "4"),
        ("n > 0 AND style = 'noto' AND text LIKE 'a red%'", "0"),
        ("1 = 1", "01234"),
        ("1 = 0", ""),
        ("style = 'it''s'", ""),
        ("style = 'noto; DROP TABLE bank'", ""),
        ("style = 'noto' -- and more", "02"),
    ],
)
def test_a_condition_finds_what_it_says_however_the_rows_lie(mixed: Bank, parted: Bank, where: str, expected: str) -> None:
    assert "".join(ids(mixed, where)) == expected
    assert "".join(ids(parted, where)) == expected


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("stile = 'noto'", "there is no 'stile'. Did you mean 'style'?"),
        ("wdith > 4", "there is no 'wdith'. Did you mean 'width'?"),
        ("STYLE2 = 'x'", "there is no"),
        ("zzz = 1", "there is no 'zzz'. There are these names: Case, "),
        ("`odd kez` = 'x'", "there is no 'odd kez'. Did you mean 'odd key'?"),
        ("n = 'one'", "it compares a number with text"),
        ("style = 1", "it compares text with a"),
        ("style > true", "it compares text with a truth value"),
        ("style = ", ""),
        ("style = 'noto", ""),
        ("= 'noto'", ""),
        ("", ""),
        ("   ", ""),
        ("style", ""),
        ("n > 'abc' AND", ""),
        ("nofunction(style) = 1", "nofunction"),
        ("n = 1 n = 2", ""),
        ("n > 0) OR (n < 0", "is more than one condition"),
        ("`a.b` = 3", "a.b"),
        ("(n > 0", ""),
        ("n > 0)", ""),
        ("\0", ""),
        ("n = 1 " + "AND n = 1 " * 40_000, ""),
        ("(" * 5_000 + "n = 1" + ")" * 5_000, ""),
    ],
    ids=lambda text: text[:20],
)
def test_what_is_no_condition_is_refused_in_one_sentence(mixed: Bank, where: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        mixed.keys_where(where)
    message = caught.value.message
    assert said in message
    assert "\n" not in message
    assert len(message) < 600
    assert "panicked" not in message
    assert "/root" not in message
    assert ".rs" not in message
    assert mixed.keys_where("n = 1").tolist() == [0]


@pytest.mark.parametrize(
    "where",
    [
        "n IN (SELECT n FROM bank)",
        "n = 1; DROP TABLE bank",
        "EXISTS (SELECT 1)",
        "(SELECT count(*) FROM information_schema.tables) > 0",
        "n = 1 UNION SELECT 1",
        "read_csv('/etc/passwd') = 'x'",
        "read_parquet('/etc/passwd') IS NOT NULL",
        "pg_read_file('/etc/passwd') = 'x'",
        "system('touch /tmp/x') = 0",
        "COPY bank TO '/tmp/x'",
        "CREATE TABLE x AS SELECT 1",
        "SELECT key FROM bank",
        "load_extension('x')",
        "count(n) > 1",
        "row_number() OVER () = 1",
        "unnest(tags) = 'a'",
    ],
)
def test_statements_subqueries_and_what_reads_files_are_refused(mixed: Bank, where: str) -> None:
    with pytest.raises(InputError):
        mixed.keys_where(where)


def test_metadata_never_hides_a_column_of_the_bank(tmp_path: Path) -> None:
    told = {"text": "other", "id": "other", "width": 1, "key": 7, "Width": 2, "TEXT": "shout", "metadata": "x", "image": 3}
    told |= {"_rowid": 5, "_rowaddr": 6, "text_vector": 1, "_distance": 0.5}
    build([Item("a", "a red disc", encoded(picture((1, 2, 3), 2)), "a", told)], tmp_path / "bank", words())
    bank = Bank.open(tmp_path / "bank")
    for where in ("text = 'a red disc'", "id = 'a'", "width = 12", "key = 0"):
        assert ids(bank, where) == ["a"], where
    for where in ("text = 'other'", "id = 'other'", "width = 1", "key = 7"):
        assert ids(bank, where) == [], where
    for where in ("`Width` = 2", "`TEXT` = 'shout'", "metadata = 'x'", "image = 3", "text_vector = 1", "_distance = 0.5"):
        assert ids(bank, where) == ["a"], where


@pytest.mark.parametrize("number", [2**53 + 1, -(2**63), 2**63, 10**400])
def test_numbers_of_any_size_stand_beside_others(tmp_path: Path, number: int) -> None:
    for start, values in enumerate(([number, 1.5, 2], [number], [1.5])):
        items = [Item(f"{start} {i}", "words", id=f"{start} {i}", metadata={"n": one}) for i, one in enumerate(values)]
        if start:
            add(tmp_path / "bank", items, words())
        else:
            build(items, tmp_path / "bank", words())
    bank = Bank.open(tmp_path / "bank")
    assert len(bank.keys_where("n IS NOT NULL")) == 5


def test_a_bank_without_rows_or_metadata_answers(tmp_path: Path) -> None:
    build([Item("a", "words", id="a")], tmp_path / "bank", words())
    bank = Bank.open(tmp_path / "bank")
    assert ids(bank, "text = 'words'") == ["a"]
    with pytest.raises(InputError, match="there is no 'style'"):
        bank.keys_where("style = 'noto'")
    remove(tmp_path / "bank", ["a"])
    assert ids(Bank.open(tmp_path / "bank"), "text = 'words'") == []


RETRIEVERS: dict[str, Callable[[], Any]] = {
    "every document": lambda: None,
    "exact/flat": lambda: Flat(FlatOptions()),
    "hnswlib/hnsw": lambda: HNSW(HNSWOptions()),
    "faiss/index": lambda: FaissIndex(FaissOptions()),
}


@pytest.mark.parametrize("kind", RETRIEVERS)
def test_a_search_gives_the_best_of_what_the_filter_leaves(bank: Bank, kind: str) -> None:
    query = words().embed_texts(["a red disc"])[0]
    found = bank.search(vector=query, k=5, where="n = 2", retriever=RETRIEVERS[kind]())
    everything = [one for one in bank.search(vector=query, k=12) if one.document.metadata["n"] == 2]
    assert [one.key for one in found] == [one.key for one in everything]
    assert [one.score for one in found] == [one.score for one in everything]
    assert bank.search(vector=query, k=5, where="n = 99", retriever=RETRIEVERS[kind]()) == []
    keys = bank.keys_where("n >= 2")
    (hits,) = bank.retrieve([Query(vector=query, where="n >= 2", exclude=keys[:2], only=keys[1:4])], 9, RETRIEVERS[kind]())
    assert sorted(hits.keys[0][: hits.counts[0]].tolist()) == sorted(keys[2:4].tolist())


def test_a_retriever_that_cannot_filter_says_so(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    class Unable(Flat):
        capabilities = frozenset({"deletes", "grows"})

    unable = Unable(FlatOptions())
    unable.id = "exact/unable"
    query = words().embed_texts(["a red disc"])[0]
    assert len(bank.search(vector=query, retriever=unable)) == 5
    with pytest.raises(ComponentError, match="cannot filter"):
        bank.search(vector=query, where="n = 1", retriever=unable)


def test_the_command_filters(tmp_path: Path) -> None:
    build(rows(ROWS), tmp_path / "bank", words())
    np.save(tmp_path / "query.npy", words().embed_texts(["a red disc"])[0])
    arguments = ("search", tmp_path / "bank", "--vector", tmp_path / "query.npy", "--where", "style = 'noto'")
    assert [one["id"] for one in answer(*arguments)["hits"]] == ["0", "2"]
    with pytest.raises(InputError, match="Did you mean 'style'"):
        answer(*arguments[:-1], "stylo = 'noto'")


numbers = st.one_of(st.integers(-3, 3), st.sampled_from([0.5, 1.0, 2.5]))
texts = st.sampled_from(["a", "b", "ab", "it's", "", "%", "ü"])
metadata = st.fixed_dictionaries({}, optional={"num": numbers, "word": texts, "flag": st.booleans()})


def literal(value: object) -> str:
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return str(value).lower() if isinstance(value, bool) else str(value)


comparisons = st.one_of(
    st.tuples(st.just("num"), st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), numbers.map(literal)),
    st.tuples(st.just("word"), st.sampled_from(["=", "!=", "<", ">="]), texts.map(literal)),
    st.tuples(st.just("flag"), st.just("="), st.booleans().map(literal)),
    st.tuples(st.sampled_from(["num", "word", "flag"]), st.sampled_from(["IS NULL", "IS NOT NULL"]), st.just("")),
).map(" ".join)
conditions = st.recursive(
    comparisons,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["AND", "OR"]), inner).map(lambda parts: f"({' '.join(parts)})"),
        inner.map(lambda one: f"NOT ({one})"),
    ),
    max_leaves=5,
)


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(told=st.lists(metadata, min_size=1, max_size=8), where=conditions)
def test_any_condition_finds_what_sql_says_of_the_same_rows(
    tmp_path_factory: pytest.TempPathFactory, told: list[dict[str, Any]], where: str
) -> None:
    """SQLite has the same three-valued logic; every row is also written as one that has all keys, so that each is a column."""
    every = [*told, {"num": 1, "word": "a", "flag": True}]
    place = tmp_path_factory.mktemp("sql") / "bank"
    build([Item(f"{i}", "words", id=f"{i}", metadata=one) for i, one in enumerate(every)], place, words())
    with sqlite3.connect(":memory:") as rows:
        rows.execute("CREATE TABLE bank (id TEXT, num REAL, word TEXT, flag INTEGER)")
        rows.executemany(
            "INSERT INTO bank VALUES (?, ?, ?, ?)",
            [(str(i), one.get("num"), one.get("word"), one.get("flag")) for i, one in enumerate(every)],
        )
        expected = sorted(id for (id,) in rows.execute(f"SELECT id FROM bank WHERE {where}"))
    assert ids(Bank.open(place), where) == expected, json.dumps(every)
