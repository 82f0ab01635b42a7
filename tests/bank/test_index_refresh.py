"""An index is brought up to date by the difference between versions, and is never of another version than the bank's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from calumma.bank import Bank, add, build, remove
from calumma.bank.verify import verify
from calumma.errors import ComponentError
from calumma.interfaces import Entries, Query, Retriever
from calumma_plugins.exact.flat import Flat
from calumma_plugins.exact.options import FlatOptions
from calumma_plugins.faiss.index import FaissIndex
from calumma_plugins.faiss.options import FaissOptions
from calumma_plugins.hnswlib.hnsw import HNSW
from calumma_plugins.hnswlib.options import HNSWOptions

from .conftest import words
from .samples import items

Make = Callable[[], Retriever]
KINDS: dict[str, Make] = {
    "exact/flat": lambda: Flat(FlatOptions()),
    "hnswlib/hnsw": lambda: HNSW(HNSWOptions()),
    "faiss/flat": lambda: FaissIndex(FaissOptions()),
    "faiss/hnsw": lambda: FaissIndex(FaissOptions(factory="HNSW16")),
}
QUERIES = [f"{text} {i}" for text in ("a red disc", "another") for i in (0, 7, 23)]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    build(items(range(40)), tmp_path / "bank", words())
    return tmp_path / "bank"


class Added(list[int]):
    """How many rows each call of an engine's `add` brought."""

    def taken(self) -> int:
        """All since the last time."""
        count = sum(self)
        self.clear()
        return count


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> Added:
    counts = Added()

    def counted(add: Callable[[Retriever, Entries], None]) -> Callable[[Retriever, Entries], None]:
        return lambda self, entries: (counts.append(len(entries.keys)), add(self, entries))[1]

    for kind in (Flat, HNSW, FaissIndex):
        monkeypatch.setattr(kind, "add", counted(kind.add))
    return counts


def found(bank: Bank, retriever: Retriever | None, k: int = 50) -> list[tuple[list[int], list[float]]]:
    """Keys and scores for several questions; with k above the number of rows, all of them in order."""
    queries = [Query(vector=vector) for vector in words().embed_texts(QUERIES)]
    return [(hits.keys[0].tolist(), hits.scores[0].tolist()) for hits in bank.retrieve(queries, k, retriever)]


def is_up_to_date(place: Path, make: Make, version: int | None = None) -> None:
    """The engine holds exactly the bank's rows and finds what a look at every row finds."""
    bank = Bank.open(place, version=version)
    index = bank.index(make())
    assert index.size == len(bank)
    assert found(bank, make()) == found(bank, None)


@pytest.mark.parametrize("kind", KINDS)
def test_after_an_addition_only_the_new_rows_are_added(place: Path, added: Added, kind: str) -> None:
    is_up_to_date(place, KINDS[kind])
    add(place, items(range(38, 45)), words())
    assert added.taken() == 40
    is_up_to_date(place, KINDS[kind])
    assert added.taken() == 5
    is_up_to_date(place, KINDS[kind])
    assert added.taken() == 0


@pytest.mark.parametrize("kind", KINDS)
def test_after_a_removal_only_what_cannot_delete_is_built_again(place: Path, added: Added, kind: str) -> None:
    make = KINDS[kind]
    is_up_to_date(place, make)
    remove(place, ["id3", "id20", "id39"])
    is_up_to_date(place, make)
    assert added.taken() == 40 + (0 if "deletes" in make().capabilities else 37)
    assert "deletes" not in KINDS["faiss/hnsw"]().capabilities


@pytest.mark.parametrize("kind", KINDS)
def test_a_replaced_document_is_found_by_what_it_is_now(place: Path, added: Added, kind: str) -> None:
    make = KINDS[kind]
    is_up_to_date(place, make)
    add(place, items([7, 23], "another"), words(), replace=True)
    is_up_to_date(place, make)
    assert added.taken() == 40 + (2 if "deletes" in make().capabilities else 40)
    best = Bank.open(place).search(vector=words().embed_texts(["another 23"])[0], k=1, retriever=make())
    assert (best[0].document.id, best[0].document.text) == ("id23", "another 23")


def test_many_changes_since_the_index_was_kept_are_one_difference(place: Path, added: Added) -> None:
    make = KINDS["hnswlib/hnsw"]
    is_up_to_date(place, make)
    add(place, items(range(40, 44)), words())
    remove(place, ["id1", "id41"])
    add(place, items([2, 43], "another"), words(), replace=True)
    is_up_to_date(place, make)
    assert added.taken() == 40 + 4


@pytest.mark.parametrize("kind", ["exact/flat", "hnswlib/hnsw"])
def test_a_large_difference_builds_anew(place: Path, added: Added, kind: str) -> None:
    is_up_to_date(place, KINDS[kind])
    add(place, items(range(40, 90)), words())
    is_up_to_date(place, KINDS[kind])
    assert added.taken() == 40 + 90
    remove(place, [f"id{i}" for i in range(50)])
    is_up_to_date(place, KINDS[kind])
    assert added.taken() == 40


@pytest.mark.parametrize("kind", KINDS)
def test_every_version_is_answered_by_its_own_rows(place: Path, kind: str) -> None:
    make, versions = KINDS[kind], [1]
    for change in (
        lambda: add(place, items(range(40, 44)), words()),
        lambda: remove(place, ["id0", "id42"]),
        lambda: add(place, items([7], "another"), words(), replace=True),
    ):
        is_up_to_date(place, make)
        change()
        versions.append(Bank.open(place).version)
    for version in [*versions, *reversed(versions), *versions[::2]]:
        is_up_to_date(place, make, version)


def test_a_bank_that_is_open_keeps_its_index_while_another_version_gets_one(place: Path) -> None:
    make = KINDS["hnswlib/hnsw"]
    old = Bank.open(place)
    before = found(old, make())
    remove(place, ["id7", "id23"])
    is_up_to_date(place, make)
    assert found(old, make()) == before
    assert found(Bank.open(place, version=1), make()) == before


def test_only_the_newest_index_is_kept(place: Path) -> None:
    for number in range(3):
        for make in (KINDS["hnswlib/hnsw"], KINDS["exact/flat"]):
            is_up_to_date(place, make)
        add(place, items([50 + number]), words())
    assert sorted(one.name.rpartition("-v")[2] for one in (place / "_indexes").iterdir()) == ["3", "3"]


@pytest.mark.parametrize("kind", ["exact/flat", "hnswlib/hnsw"])
def test_an_index_that_cannot_be_trusted_is_not_what_the_next_is_made_of(
    place: Path, added: Added, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    is_up_to_date(place, KINDS[kind])
    (kept,) = (place / "_indexes").iterdir()
    victim = kept / "bank_keys.npy"
    np.save(victim, np.load(victim)[:-1])
    add(place, items([50]), words())
    is_up_to_date(place, KINDS[kind])
    assert added.taken() == 40 + 41
    assert "is not brought up to date" in caplog.text


def test_a_bank_that_was_built_over_gets_an_index_of_its_own(place: Path, added: Added) -> None:
    is_up_to_date(place, KINDS["hnswlib/hnsw"])
    build(items(range(30, 45)), place, words("other"), overwrite=True)
    assert Bank.open(place).index(KINDS["hnswlib/hnsw"]()).size == 15
    assert added.taken() == 40 + 15
    assert verify(place).whole


def test_a_bank_that_is_empty_and_filled_again_is_answered_rightly(place: Path) -> None:
    for make in KINDS.values():
        is_up_to_date(place, make)
    remove(place, [f"id{i}" for i in range(40)])
    for make in KINDS.values():
        assert Bank.open(place).index(make()).size == 0
        assert found(Bank.open(place), make(), k=3) == found(Bank.open(place), None, k=3)
    add(place, items(range(5)), words())
    for make in KINDS.values():
        is_up_to_date(place, make)


def test_an_old_index_that_cannot_be_dropped_is_no_failure_of_the_new_one(
    place: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(folder: Path) -> None:
        raise ComponentError("Nobody answers there.", "Start it.")

    is_up_to_date(place, KINDS["hnswlib/hnsw"])
    add(place, items([50]), words())
    with monkeypatch.context() as patch:
        patch.setattr(HNSW, "drop", refuse)
        is_up_to_date(place, KINDS["hnswlib/hnsw"])
    assert "is not dropped: Nobody answers there." in caplog.text
    assert len(list((place / "_indexes").iterdir())) == 2
    add(place, items([51]), words())
    is_up_to_date(place, KINDS["hnswlib/hnsw"])
    assert len(list((place / "_indexes").iterdir())) == 1
