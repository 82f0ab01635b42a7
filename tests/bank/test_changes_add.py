"""Adding: what is there already costs nothing and stays as it is; one call is one version, and older ones stay."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from calumma.bank import Bank, Item, Skipped, add, add_tokens, build, remove
from calumma.bank.verify import verify
from calumma.documents.pictures import png_bytes, read_picture
from calumma.errors import BankError, MismatchError
from calumma.interfaces import Options

from .conftest import encoded, picture, words
from .samples import contents, counting, item, items, keys, tree
from .test_tokens import Means


@pytest.fixture
def place(tmp_path: Path) -> Path:
    build(items(range(6)), tmp_path / "bank", words())
    return tmp_path / "bank"


def test_only_documents_that_are_new_are_embedded_and_get_keys_of_their_own(place: Path) -> None:
    before, old_keys, embedder = contents(place), keys(place), counting()
    report = add(place, items(range(4, 9)), embedder)
    assert (report.read, report.kept, report.embedded, report.there, report.version) == (5, 5, 3, 2, 2)
    assert embedder.texts == [f"a red disc {i}" for i in (6, 7, 8)]
    assert embedder.images == 3
    after = contents(place)
    assert {id: after[id] for id in before} == before
    assert sorted(after) == [f"id{i}" for i in range(9)]
    assert {id: key for id, key in keys(place).items() if id in old_keys} == old_keys


def test_adding_the_same_again_embeds_nothing_and_changes_no_file(place: Path) -> None:
    add(place, items(range(4, 9)), words())
    before, embedder = tree(place), counting()
    report = add(place, items(range(4, 9)), embedder)
    assert (report.there, report.embedded, report.version) == (5, 0, 2)
    assert embedder.calls == 0
    assert tree(place) == before


def test_an_added_bank_is_what_one_build_of_everything_would_be(place: Path, tmp_path: Path) -> None:
    add(place, items(range(4, 9)), words())
    build(items(range(9)), tmp_path / "whole", words())
    assert contents(place) == contents(tmp_path / "whole")


@pytest.mark.parametrize("change", ["text", "picture", "metadata"])
def test_a_document_that_has_changed_is_reported_and_left_as_it_was(place: Path, change: str) -> None:
    before = contents(place)
    changed = {
        "text": item(2, "another text"),
        "picture": item(2, image=encoded(picture((1, 2, 3), 4))),
        "metadata": item(2, metadata={"n": 2, "style": "new"}),
    }[change]
    report = add(place, [changed, item(1)], words())
    assert (report.there, report.embedded, report.version) == (1, 0, 1)
    ((name, reason),) = report.skipped
    assert name == "item 2"
    assert "there already, with other content" in reason
    assert "upsert" in reason
    assert contents(place) == before


def test_the_order_of_metadata_keys_is_no_change(place: Path) -> None:
    add(place, [item(7, metadata={"a": 1, "b": {"c": 2, "d": 3}})], words())
    assert add(place, [item(7, metadata={"b": {"d": 3, "c": 2}, "a": 1})], words()).there == 1


@pytest.mark.parametrize("kind", ["BMP", "GIF", "TIFF"])
def test_pictures_that_are_kept_as_png_are_known_again(place: Path, kind: str) -> None:
    again = [item(7, image=encoded(picture((9, 9, 9), 3), kind)), item(8, image=encoded(picture((8, 8, 8), 2), kind))]
    assert add(place, again, words()).embedded == 2
    embedder = counting()
    report = add(place, again, embedder, replace=True)
    assert (report.there, embedder.calls, report.version) == (2, 0, 2)


def test_an_export_as_png_of_a_picture_that_came_as_bmp_is_the_same_document(place: Path) -> None:
    bmp = encoded(picture((9, 9, 9), 3), "BMP")
    add(place, [item(7, image=bmp)], words())
    assert add(place, [item(7, image=png_bytes(read_picture(bmp)))], words()).there == 1


def test_documents_without_an_id_are_known_by_their_content(place: Path) -> None:
    anonymous = [Item(f"n{i}", f"words {i}", item(i).image if i else None) for i in range(3)]
    assert add(place, anonymous, words()).embedded == 3
    embedder = counting()
    assert add(place, [*anonymous, Item("new", "words 3")], embedder).there == 3
    assert embedder.texts == ["words 3"]


def test_an_id_that_comes_twice_is_taken_once(place: Path) -> None:
    twice = [item(1), item(7), item(7, "another text"), item(1, "another text"), item(7)]
    report = add(place, twice, words())
    assert (report.kept, report.embedded, report.there) == (2, 1, 1)
    assert report.reasons == {"duplicate": 3}
    assert contents(place)["id7"][0] == "a red disc 7"


@pytest.mark.parametrize("distance", [1, 70, 3000])
def test_an_id_that_comes_twice_is_taken_once_however_far_apart(place: Path, distance: int) -> None:
    many = [Item(f"n{i}", f"w {i % 7}", id=f"m{i}") for i in range(distance)]
    report = add(place, [many[0], *many[1:], Item("again", "other", id="m0")], words(), batch=512)
    assert report.skipped == [("again", "duplicate: of n0")]
    assert len(Bank.open(place)) == 6 + distance


def test_strict_stops_at_the_first_document_that_cannot_be_used_and_changes_nothing(place: Path) -> None:
    before = contents(place)
    for wrong in (item(8, image=b"no picture"), Skipped("x", "no caption"), Item("y", ""), item(2, "another text")):
        with pytest.raises(BankError) as caught:
            add(place, [item(7), wrong], words(), strict=True, discard_pending=True)
        assert caught.value.message.startswith(f"{wrong.name}: ")
        assert contents(place) == before
    assert Bank.open(place).version == 1


def test_what_is_left_out_is_counted_and_listed_in_a_file(place: Path) -> None:
    wrong = [
        Skipped("a", "no caption"),
        Item("b", ""),
        item(7, image=b"no picture"),
        item(8, image=b"BM nor this"),
        Item("half", "\ud800"),
        Item("set", "words", metadata={"x": {1}}),
        Item("nan", "words", metadata={"x": float("nan")}),
        Item("id", "words", id="\ud800"),
    ]
    report = add(place, [*wrong, item(9)], words())
    assert (report.read, report.kept, report.embedded) == (9, 1, 1)
    assert report.reasons["not a readable picture"] == 2
    assert sum(report.reasons.values()) == 8
    assert report.listed is not None
    listed = [json.loads(line) for line in report.listed.read_text().splitlines()]
    assert [(one["name"], one["reason"]) for one in listed] == report.skipped
    assert sorted(one["name"] for one in listed) == sorted(one.name for one in wrong)
    assert report.listed.is_relative_to(place)
    assert verify(place).whole


def test_older_versions_can_still_be_read(place: Path) -> None:
    first = contents(place)
    add(place, items(range(6, 9)), words())
    second = contents(place)
    remove(place, ["id0", "id7"])
    assert contents(place, 1) == first
    assert contents(place, 2) == second
    assert [one["documents"] for one in Bank.open(place).versions()] == [6, 9, 7]
    assert Bank.open(place, version=1).search("a red disc 0", k=1, embedder=words())[0].document.id == "id0"


def test_a_bank_with_codes_takes_further_documents(place: Path) -> None:
    tokenizer = Means(Options())
    tokenizer.id = "tests/means@2"
    coded = add_tokens(Bank.open(place), tokenizer)
    report = add(place, items(range(6, 8)), words())
    assert report.embedded == 2
    opened = Bank.open(place)
    assert len(opened) == 8
    by_id = {one.id: one for one in opened.documents(opened.keys.tolist())}
    for one in coded.documents(coded.keys.tolist()):
        assert {name: ids.tolist() for name, ids in by_id[one.id].image.tokens.items()} == {
            name: ids.tolist() for name, ids in one.image.tokens.items()
        }
    assert not by_id["id7"].image.tokens
    remove(place, ["id0", "id7"])
    add(place, [item(1, "another text")], words(), replace=True)
    assert len(Bank.open(place)) == 6
    assert verify(place).whole


def test_another_embedder_is_refused_before_anything_is_read(place: Path) -> None:
    def source():
        raise AssertionError("the source was read")
        yield

    with pytest.raises(MismatchError, match="was embedded by"):
        add(place, source(), words("other"))
    assert not (place / "_pending").exists()


def test_where_there_is_no_bank_nothing_is_made(tmp_path: Path) -> None:
    for changed in (lambda: add(tmp_path / "gone", items([1]), words()), lambda: remove(tmp_path / "gone", ["a"])):
        with pytest.raises(BankError, match="There is no bank at"):
            changed()
    assert list(tmp_path.iterdir()) == []
