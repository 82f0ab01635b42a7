"""Exporting: what other tools read, whole or not at all; and what `bank build` makes the same bank of again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lance
import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from calumma.bank import Bank, Item, add, build, remove
from calumma.bank.export import FORMATS, export
from calumma.bank.sources import open_source
from calumma.errors import BankError, InputError

from .conftest import encoded, picture, words
from .samples import contents, items, tree
from .test_bank_cli import answer, run

METADATA: dict[str, Any] = {
    "style": "noto",
    "n": 3,
    "share": 0.5,
    "free": True,
    "tags": ["a", {"b": [1, 2]}],
    "nested": {"deep": {"deeper": "ü"}},
    "größe": "groß",
    "width": 7,
}
TAKEN = {"text": "not the text", "id": 7, "file_name": "../../etc/passwd", "caption": "no", "image": "no", "image_path": "no"}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Two versions: pictures of three formats, texts alone, metadata of every type and under names that lists use."""
    given = [
        Item("png", "a red disc", encoded(picture((200, 30, 30), 1)), "png", METADATA),
        Item("jpeg", "a blue disc", encoded(picture((30, 30, 200), 2, 40), "JPEG"), "jpeg / ü", {"n": 4}),
        Item("webp", 'two\nlines, "quoted"', encoded(picture((30, 200, 30), 3), "WEBP"), "../webp", TAKEN),
        Item("bmp", "became PNG", encoded(picture((3, 2, 1), 4), "BMP"), "bmp", {"metadata": {"a": 1}, "other": 1}),
        Item("text", "words alone", id="0012", metadata={"metadata": "plain", "n": 5}),
        Item("bare", "nothing else", id="bare"),
        Item("gone", "gone", id="gone"),
    ]
    build(given, tmp_path / "bank", words())
    remove(tmp_path / "bank", ["gone"])
    add(tmp_path / "bank", items(range(3)), words())
    return tmp_path / "bank"


@pytest.mark.parametrize("format", ["image-folder", "parquet"])
def test_a_bank_that_is_built_of_an_export_is_the_same(place: Path, tmp_path: Path, format: str) -> None:
    out = export(Bank.open(place), tmp_path / ("out.parquet" if format == "parquet" else "out"), format)
    report = build(open_source(str(out)), tmp_path / "again", words())
    assert report.skipped == []
    assert contents(tmp_path / "again") == contents(place)
    assert add(place, open_source(str(out)), words()).there == len(Bank.open(place))


@pytest.mark.parametrize("format", ["image-folder", "parquet"])
def test_pictures_without_a_caption_come_back_where_they_are_asked_for(tmp_path: Path, format: str) -> None:
    build([Item("a", "", encoded(picture((1, 2, 3), 1)), "a", {"n": 1})], tmp_path / "bank", words())
    out = export(Bank.open(tmp_path / "bank"), tmp_path / ("out.parquet" if format == "parquet" else "out"), format)
    source = open_source(str(out), uncaptioned=True)
    build(source, tmp_path / "again", words())
    assert contents(tmp_path / "again") == contents(tmp_path / "bank")


def test_an_image_folder_holds_pictures_as_they_are_kept_and_a_line_a_document(place: Path, tmp_path: Path) -> None:
    out = export(Bank.open(place), tmp_path / "out")
    lines = [json.loads(line) for line in (out / "metadata.jsonl").read_text(encoding="utf-8").split("\n")[:-1]]
    assert len(lines) == 9
    by_id = {line["id"]: line for line in lines}
    assert by_id["png"] == {"file_name": "0.png", "text": "a red disc", "id": "png", **METADATA}
    assert by_id["../webp"]["metadata"] == TAKEN
    assert "file_name" not in by_id["0012"]
    assert sorted({Path(line["file_name"]).suffix for line in lines if "file_name" in line}) == [".jpg", ".png", ".webp"]
    kept = {row["id"]: row["image"] for row in Bank.open(place).dataset.to_table(columns=["id", "image"]).to_pylist()}
    for line in lines:
        if "file_name" in line:
            assert (out / line["file_name"]).read_bytes() == kept[line["id"]]
    assert {one.name for one in out.iterdir()} == {"metadata.jsonl", *(one["file_name"] for one in lines if "file_name" in one)}


def test_a_parquet_file_has_a_row_a_document(place: Path, tmp_path: Path) -> None:
    table = parquet.read_table(export(Bank.open(place), tmp_path / "deep" / "er" / "out.parquet", "parquet"))
    assert table.column_names == ["id", "text", "image", "metadata"]
    assert json.loads(table["metadata"].to_pylist()[0]) == METADATA
    assert b"calumma" not in (table.schema.metadata or {})


def test_clip_retrievals_folders_hold_vectors_and_captions_in_the_same_rows(place: Path, tmp_path: Path) -> None:
    bank = Bank.open(place)
    out = export(bank, tmp_path / "out", "clip-retrieval")
    told = parquet.read_table(out / "metadata" / "metadata_0000.parquet")
    assert told["id"].to_pylist() == bank.ids(bank.keys.tolist())
    for part in ("img", "text"):
        rows = np.load(out / f"{part}_emb" / f"{part}_emb_0000.npy")
        assert rows.dtype == np.float16
        np.testing.assert_allclose(rows, bank.vectors(bank.keys, "image" if part == "img" else "text"), atol=1e-3)
    build(open_source(str(out)), tmp_path / "again", words())
    again = Bank.open(tmp_path / "again")
    assert again.ids(again.keys.tolist()) == bank.ids(bank.keys.tolist())
    assert [one.metadata for one in again.documents(again.keys.tolist())] == [
        one.metadata for one in bank.documents(bank.keys.tolist())
    ]
    np.testing.assert_allclose(again.entries().vectors, bank.entries().vectors, atol=2e-3)


@pytest.mark.parametrize("format", FORMATS)
def test_an_older_version_can_be_exported(place: Path, tmp_path: Path, format: str) -> None:
    told = answer("export", place, "--out", tmp_path / "out", "--format", format, "--at", 1)
    assert told == {"out": str(tmp_path / "out"), "format": format, "documents": 7}


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("there", ["file", "folder", "link to nothing"])
def test_what_is_there_is_refused_and_stays(place: Path, tmp_path: Path, format: str, there: str) -> None:
    out = tmp_path / "out"
    if there == "file":
        out.write_text("precious")
    elif there == "folder":
        out.mkdir()
    else:
        out.symlink_to(tmp_path / "nowhere")
    with pytest.raises(BankError, match="is there already"):
        export(Bank.open(place), out, format)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["bank", "out"]
    assert out.is_symlink() == (there == "link to nothing")
    assert there != "file" or out.read_text() == "precious"


@pytest.mark.parametrize("format", FORMATS)
def test_an_export_that_fails_leaves_nothing(place: Path, tmp_path: Path, format: str) -> None:
    bank = Bank.open(place)
    before = tree(place)
    victim = max((place / "data").iterdir(), key=lambda file: file.stat().st_size)
    victim.write_bytes(b"\0" * victim.stat().st_size)
    with pytest.raises(BankError, match="cannot be read"):
        export(bank, tmp_path / "out", format)
    assert [one.name for one in tmp_path.iterdir()] == ["bank"]
    assert set(tree(place)) == set(before)


@pytest.mark.parametrize("format", FORMATS)
def test_an_export_that_is_interrupted_leaves_nothing(
    place: Path, tmp_path: Path, format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*paths: object) -> None:
        raise KeyboardInterrupt

    bank = Bank.open(place)
    with monkeypatch.context() as patch:
        patch.setattr("os.rename", stop)
        with pytest.raises(KeyboardInterrupt):
            export(bank, tmp_path / "out", format)
    assert [one.name for one in tmp_path.iterdir()] == ["bank"]


@pytest.mark.parametrize("format", FORMATS)
def test_a_place_that_cannot_be_written_is_a_sentence(place: Path, tmp_path: Path, format: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BankError, match="Cannot write"):
        export(Bank.open(place), tmp_path / "file" / "out", format)


@pytest.mark.parametrize("metadata", ["[1]", "{", '"x"'])
def test_metadata_that_is_no_object_is_damage_and_no_traceback(tmp_path: Path, metadata: str) -> None:
    build(items([1]), tmp_path / "bank", words())
    table = lance.dataset(str(tmp_path / "bank")).to_table()
    at = table.schema.get_field_index("metadata")
    lance.write_dataset(table.set_column(at, table.schema.field(at), pa.array([metadata])), tmp_path / "other")
    with pytest.raises(BankError, match="cannot be read"):
        export(Bank.open(tmp_path / "other"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_command_names_the_formats(place: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no format 'csv'") as caught:
        run("export", place, "--out", tmp_path / "out", "--format", "csv")
    assert "image-folder, parquet, clip-retrieval" in caught.value.fix
    assert "9 documents as image-folder" in run("export", place, "--out", tmp_path / "out")
