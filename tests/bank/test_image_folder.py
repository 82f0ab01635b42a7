"""A folder of pictures with captions, as people have them: lists, texts beside pictures, and everything that goes wrong."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from calumma.bank import Bank, ImageFolder, Item, Skipped, build
from calumma.bank.sources import image_folder
from calumma.errors import BankError

from .conftest import encoded, words
from .sources import BLUE, RED, by_name, found


def items(folder: Path) -> dict[str, Item | Skipped]:
    return by_name(ImageFolder(folder))


def test_a_list_gives_captions_ids_and_metadata(folder: Path) -> None:
    found = items(folder)
    assert len(found) == 12
    one = found["more/red-cross.png"]
    assert isinstance(one, Item)
    assert (one.text, one.id, one.metadata) == ("a red cross", "red-cross", {"style": "plain", "n": 0})
    assert one.image == (folder / "more" / "red-cross.png").read_bytes()


def test_a_csv_and_texts_beside_pictures_are_read_too(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name, content in [("a.png", RED), ("b.png", BLUE), ("sub/c.PNG", RED)]:
        (tmp_path / name).write_bytes(content)
    (tmp_path / "metadata.csv").write_text('file_name,caption,tags\na.png,"a red, ""square""",x\n', encoding="utf-8-sig")
    (tmp_path / "sub" / "c.txt").write_text("  a caption of its own\n")
    found = items(tmp_path)
    assert isinstance(one := found["a.png"], Item)
    assert (one.text, one.id, one.metadata) == ('a red, "square"', None, {"tags": "x"})
    assert isinstance(other := found["sub/c.PNG"], Item)
    assert other.text == "a caption of its own"
    assert found["b.png"] == Skipped("b.png", "no caption")


def test_a_list_in_a_subfolder_speaks_of_its_own_folder(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.png").write_bytes(RED)
    (tmp_path / "sub" / "metadata.jsonl").write_text(
        '{"file_name": "a.png", "text": "one"}\n{"file_name": "a.png", "text": "two"}\n'
    )
    assert [item.text for item in ImageFolder(tmp_path) if isinstance(item, Item)] == ["one", "two"]


def test_a_line_without_a_picture_is_a_text_alone(tmp_path: Path) -> None:
    (tmp_path / "metadata.jsonl").write_text('{"text": "words alone", "lang": "en"}\n')
    assert items(tmp_path) == {"metadata.jsonl:1": Item("metadata.jsonl:1", "words alone", None, None, {"lang": "en"})}


def test_lines_that_cannot_be_used_are_left_out_with_a_reason(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.png").write_bytes(RED)
    (tmp_path / "in" / "a.png").write_bytes(RED)
    (tmp_path / "in" / "link.png").symlink_to(tmp_path / "secret.png")
    lines = [
        '{"file_name": "a.png"}',
        '{"file_name": "gone.png", "text": "x"}',
        '{"file_name": "../secret.png", "text": "x"}',
        f'{{"file_name": "{tmp_path}/secret.png", "text": "x"}}',
        "no json",
        "[1]",
    ]
    (tmp_path / "in" / "metadata.jsonl").write_text("\n".join(lines))
    reasons = sorted(item.reason for item in ImageFolder(tmp_path / "in") if isinstance(item, Skipped))
    broken, outside = "a line that cannot be read", "points outside of its folder"
    assert reasons == [broken, broken, "no caption", "no such file", outside, outside, outside]


def test_a_picture_of_two_lines_is_two_documents_of_different_names(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(RED)
    (tmp_path / "metadata.jsonl").write_text(
        "".join(f'{{"file_name": "{name}", "text": "{text}"}}\n' for name, text in (("a.png", "one"), ("a.png", "two")))
    )
    assert [(one.name, one.text) for one in items(tmp_path).values()] == [("a.png", "one"), ("a.png#2", "two")]


def test_pictures_without_a_caption_are_taken_where_one_asks_for_them(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(RED)
    assert found(ImageFolder(tmp_path, uncaptioned=True)) == [Item("a.png", "", RED)]


def test_shards_are_runs_of_lines(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_folder, "SHARD_ROWS", 5)
    assert [shard.count() for shard in ImageFolder(folder).shards()] == [5, 5, 2]
    assert len(items(folder)) == 12


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BankError, match="no pictures"):
        ImageFolder(tmp_path).count()
    with pytest.raises(BankError, match="no folder"):
        ImageFolder(tmp_path / "gone")


def test_broken_and_huge_and_double_pictures_are_counted_and_the_rest_is_kept(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    files = {"a.png": RED, "b.png": BLUE, "broken.png": b"no picture", "again.png": RED, "cut.png": RED[: len(RED) // 2]}
    for name, content in files.items():
        (source / name).write_bytes(content)
        (source / name).with_suffix(".txt").write_text("the same caption")
    (source / "wide.png").write_bytes(encoded(np.zeros((1, 40_000, 3), np.uint8)))
    (source / "wide.txt").write_text("too wide")
    report = build(ImageFolder(source), tmp_path / "bank", words())
    assert (report.read, report.kept) == (6, 2)
    reasons = {name: reason.split(":")[0] for name, reason in report.skipped}
    assert reasons == {
        "again.png": "duplicate",
        "broken.png": "not a readable picture",
        "cut.png": "not a readable picture",
        "wide.png": "too large",
    }
    assert str(report) == "2 of 6 documents kept, left out: 2 not a readable picture; 1 duplicate; 1 too large."
    assert len(Bank.open(tmp_path / "bank")) == 2


def test_the_same_id_twice_is_a_duplicate(tmp_path: Path) -> None:
    report = build([Item("one", "first", id="x"), Item("two", "second", id="x")], tmp_path / "bank", words())
    assert report.skipped == [("two", "duplicate: of one")]


def test_not_one_usable_document_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(BankError, match="Not one document could be used: a, neither text nor picture"):
        build([Item("a", "")], tmp_path / "bank", words())
    assert list(tmp_path.iterdir()) == []


def test_metadata_comes_back_as_it_was(tmp_path: Path) -> None:
    metadata = {"tags": ["ä", "b"], "n": 3, "nested": {"x": None}}
    build([Item("a", "text", metadata=metadata), Item("b", "other", metadata={"x": object()})], tmp_path / "bank", words())
    bank = Bank.open(tmp_path / "bank")
    assert [json.loads(json.dumps(one.metadata)) for one in bank.documents(bank.keys.tolist())] == [metadata]
