"""Removing, and building over a bank: what goes is named, and older versions keep it."""

from __future__ import annotations

from pathlib import Path

import pytest

from calumma.bank import Bank, build, remove
from calumma.bank.verify import verify
from calumma.errors import BankError

from .conftest import Words, words
from .samples import contents, item, items, keys, tree
from .test_bank_cli import answer, run


@pytest.fixture
def place(tmp_path: Path) -> Path:
    build(items(range(6)), tmp_path / "bank", words())
    return tmp_path / "bank"


def test_removed_documents_are_gone_in_one_new_version_and_stay_in_the_older_one(place: Path) -> None:
    before, old_keys = contents(place), keys(place)
    assert remove(place, ["id1", "id4", "id1"]) == 2
    left = {id: one for id, one in before.items() if id not in ("id1", "id4")}
    assert contents(place) == left
    assert keys(place) == {id: key for id, key in old_keys.items() if id in left}
    assert Bank.open(place).version == 2
    assert contents(place, 1) == before
    assert verify(place).whole


def test_an_id_that_is_not_there_is_named_and_nothing_is_removed(place: Path) -> None:
    before = tree(place)
    with pytest.raises(BankError, match=r"no document 'id77'\.") as caught:
        remove(place, ["id1", "id77"])
    assert "--missing-ok" in caught.value.fix
    with pytest.raises(BankError, match="no document 'id77' and 2 others"):
        remove(place, ["id77", "id1", "id78", "id79", "id77", "id78"])
    assert tree(place) == before
    assert remove(place, ["id1", "id77"], missing_ok=True) == 1
    assert remove(place, ["id77"], missing_ok=True) == 0
    assert Bank.open(place).version == 2


def test_every_document_can_be_removed_and_the_bank_stays_one(place: Path) -> None:
    assert remove(place, [f"id{i}" for i in range(6)]) == 6
    empty = Bank.open(place)
    assert len(empty) == 0
    assert empty.search("a red disc", embedder=words()) == []
    assert len(empty.entries().keys) == 0
    assert verify(place).whole
    assert len(Bank.open(place, version=1)) == 6


@pytest.mark.parametrize("id", ["it's", 'say "x"', "a; DROP", "ü\n\t", "id1' OR '1'='1", "*", "", " "])
def test_ids_may_hold_any_signs(place: Path, id: str) -> None:
    build([item(1, id=id or "empty"), item(2)], place, words(), overwrite=True)
    assert remove(place, [id or "empty"]) == 1
    assert list(contents(place)) == ["id2"]


def test_the_command_removes_and_says_how_many(place: Path) -> None:
    assert answer("remove", place, "id1", "id2") == {"bank": str(place), "removed": 2, "version": 2}
    with pytest.raises(BankError, match="no document 'id1'"):
        run("remove", place, "id1")
    assert "0 removed; version 2" in run("remove", place, "id1", "--missing-ok")


def test_a_bank_that_is_built_over_keeps_its_older_versions_and_takes_another_embedder(place: Path) -> None:
    class Narrow(Words):
        dimension = 8

        def embed_texts(self, texts):
            return super().embed_texts(texts)[:, :8] / 1

        def embed_images(self, images):
            return super().embed_images(images)[:, :8] / 1

    before = contents(place)
    narrow = Narrow(words("narrow").options)
    narrow.id = "tests/narrow"
    report = build(items(range(3, 9)), place, narrow, overwrite=True)
    assert (report.version, report.kept, Bank.open(place).dimension) == (2, 6, 8)
    assert Bank.open(place).fingerprint == narrow.fingerprint()
    assert contents(place, 1) == before
    assert sorted(contents(place)) == [f"id{i}" for i in range(3, 9)]
