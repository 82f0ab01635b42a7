"""Upserting: a document takes the place of the one with its id, under a new key, in one version; the same costs nothing."""

from __future__ import annotations

from pathlib import Path

import lance
import pytest

from calumma.bank import Bank, Item, add, build, remove
from calumma.bank.verify import verify
from calumma.errors import BankError

from .conftest import encoded, picture, words
from .samples import contents, counting, item, items, keys, tree


@pytest.fixture
def place(tmp_path: Path) -> Path:
    build(items(range(6)), tmp_path / "bank", words())
    return tmp_path / "bank"


def upsert(place: Path, *given: Item, embedder=None, **more: object):
    return add(place, given, embedder or words(), replace=True, **more)


def test_a_changed_document_takes_the_place_of_the_old_one_under_a_new_key(place: Path) -> None:
    before, old_keys, embedder = contents(place), keys(place), counting()
    report = upsert(place, item(1), item(2, "a blue cross"), item(9), embedder=embedder)
    assert (report.kept, report.embedded, report.there, report.replaced, report.version) == (3, 2, 1, 1, 2)
    assert embedder.texts == ["a blue cross", "a red disc 9"]
    after, new_keys = contents(place), keys(place)
    assert after["id2"][0] == "a blue cross"
    assert {id: after[id] for id in before if id != "id2"} == {id: before[id] for id in before if id != "id2"}
    assert sorted(after) == [*sorted(before), "id9"]
    assert not {new_keys["id2"], new_keys["id9"]} & set(old_keys.values())
    assert {id: new_keys[id] for id in before if id != "id2"} == {id: old_keys[id] for id in before if id != "id2"}
    assert contents(place, 1) == before


@pytest.mark.parametrize("change", ["text", "picture", "no picture", "metadata"])
def test_each_part_of_a_document_counts_as_a_change(place: Path, change: str) -> None:
    changed = {
        "text": item(2, "another text"),
        "picture": item(2, image=encoded(picture((1, 2, 3), 4))),
        "no picture": item(2, image=None),
        "metadata": item(2, metadata={"n": 3}),
    }[change]
    assert upsert(place, changed).replaced == 1
    build([changed], place.with_name("alone"), words())
    assert contents(place)["id2"] == contents(place.with_name("alone"))["id2"]
    assert upsert(place, changed).there == 1


def test_upserting_the_same_embeds_nothing_and_changes_no_file(place: Path) -> None:
    upsert(place, item(2, "another text"), item(7))
    before, embedder = tree(place), counting()
    report = upsert(place, item(2, "another text"), item(7), item(0), embedder=embedder)
    assert (report.there, report.embedded, report.replaced, report.version) == (3, 0, 0, 2)
    assert embedder.calls == 0
    assert tree(place) == before


def test_every_document_of_a_bank_can_be_replaced_at_once(place: Path) -> None:
    report = upsert(place, *items(range(6), "another"))
    assert (report.replaced, len(Bank.open(place)), report.version) == (6, 6, 2)
    build(items(range(6), "another"), place.with_name("fresh"), words())
    assert contents(place) == contents(place.with_name("fresh"))
    assert verify(place).whole


def test_documents_of_many_fragments_are_replaced_in_one_version(place: Path) -> None:
    for start in (6, 9, 12):
        add(place, items(range(start, start + 3)), words())
    report = upsert(place, *items([0, 5, 7, 9, 10, 11, 14], "another"))
    assert (report.replaced, report.version) == (7, 5)
    assert {id for id, (text, *_) in contents(place).items() if text.startswith("another")} == {
        f"id{i}" for i in (0, 5, 7, 9, 10, 11, 14)
    }
    assert len(contents(place)) == 15


@pytest.mark.parametrize("wrong", [item(2, image=b"\x89PNG\r\n\x1a\n no picture"), item(2, image=b"nor this")])
def test_a_document_that_cannot_be_used_does_not_take_the_place_of_a_good_one(place: Path, wrong: Item) -> None:
    before = contents(place)
    report = upsert(place, wrong)
    assert (report.replaced, report.version) == (0, 1)
    assert contents(place) == before
    report = upsert(place, wrong, item(7))
    assert (report.replaced, report.version) == (0, 2)
    assert {id: one for id, one in contents(place).items() if id != "id7"} == before


def test_the_first_of_several_with_one_id_counts(place: Path) -> None:
    report = upsert(place, item(2, "first"), item(2, "second"), item(2), item(1), item(1, "other"))
    assert (report.replaced, report.there, report.reasons) == (1, 1, {"duplicate": 3})
    assert contents(place)["id2"][0] == "first"
    assert contents(place)["id1"][0] == "a red disc 1"


def test_an_upsert_that_fails_leaves_the_bank_as_it_was(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(place)

    def refuse(*args: object, **more: object) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(lance.LanceDataset, "commit", refuse)
        with pytest.raises(BankError, match="no space left on device"):
            upsert(place, *items(range(4), "another"))
    assert contents(place) == before
    assert verify(place).whole
    assert upsert(place, *items(range(4), "another")).replaced == 4
    assert len(contents(place)) == 6


def test_keys_are_never_given_twice(place: Path) -> None:
    seen = set(keys(place).values())

    def fresh(changed: list[int]) -> None:
        now = keys(place)
        new = {now[f"id{i}"] for i in changed}
        assert len(new) == len(changed)
        assert not new & seen
        seen.update(now.values())

    remove(place, ["id4", "id5"])
    add(place, items([4, 5, 6]), words())
    fresh([4, 5, 6])
    upsert(place, *items([5, 6], "another"))
    fresh([5, 6])
    build(items(range(3)), place, words(), overwrite=True)
    fresh([0, 1, 2])
    remove(place, ["id2"])
    add(place, items([2, 3]), words())
    fresh([2, 3])
