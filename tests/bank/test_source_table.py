"""Parquet and JSON Lines as people have them, and as nobody should."""

from __future__ import annotations

import datetime
import decimal
import json
import os
import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calumma.bank import Item, Skipped
from calumma.bank.sources import Table
from calumma.bank.sources import rows as rows_module
from calumma.bank.sources import table as module
from calumma.errors import BankError

from .sources import BLUE, RED, by_name, found, items, reasons


def lines(path: Path, *rows: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(one if isinstance(one, str) else json.dumps(one) for one in rows), encoding="utf-8")
    return path


def parquet(path: Path, rows: list[dict[str, object]] | pa.Table, group: int = 1000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(rows), path, row_group_size=group)
    return path


# --- what is in a row ---


def test_a_row_has_text_picture_id_and_metadata(tmp_path: Path) -> None:
    path = parquet(tmp_path / "t.parquet", [{"text": " red ", "image": RED, "id": 7, "style": "noto", "n": None}])
    assert items(Table(path)) == [Item("t.parquet:0", "red", RED, "7", {"style": "noto"})]
    assert Table(path).format == "Parquet, 1 file."


def test_a_picture_may_be_a_struct_of_hugging_face_or_a_path_beside_the_table(tmp_path: Path) -> None:
    (tmp_path / "in" / "sub").mkdir(parents=True)
    (tmp_path / "in" / "sub" / "a.png").write_bytes(RED)
    rows = [
        {"caption": "a struct", "image": {"bytes": BLUE, "path": "gone.png"}},
        {"caption": "a path in a struct", "image": {"bytes": None, "path": "sub/a.png"}},
        {"caption": "an empty struct", "image": {"bytes": None, "path": None}},
        {"caption": "no picture", "image": None},
    ]
    assert [one.image for one in items(Table(parquet(tmp_path / "in" / "t.parquet", rows)))] == [BLUE, RED, None, None]
    columns = ("image", "file_name", "image_path")
    path = lines(tmp_path / "in" / "t.jsonl", *({"text": "words", name: "sub/a.png"} for name in columns))
    assert {(one.image, *one.metadata) for one in items(Table(path))} == {(RED,)}


def test_of_several_columns_the_first_with_a_value_is_the_picture(tmp_path: Path) -> None:
    path = lines(tmp_path / "t.jsonl", {"text": "a", "image": None, "file_name": "a.png", "image_path": "elsewhere"})
    (tmp_path / "a.png").write_bytes(RED)
    assert items(Table(path)) == [Item("t.jsonl:1", "a", RED, None, {"image_path": "elsewhere"})]


def test_columns_may_have_other_names(tmp_path: Path) -> None:
    row = {"title": "named", "text": "not this", "jpg": RED, "sha": "x1", "image": "of no use"}
    path = parquet(tmp_path / "t.parquet", [row])
    (one,) = items(Table(path, text_column="title", image_column="jpg", id_column="sha"))
    assert (one.text, one.image, one.id, one.metadata) == ("named", RED, "x1", {"text": "not this", "image": "of no use"})
    with pytest.raises(BankError, match=r"The column 'titel' of t.parquet is not there. Take one of title, text"):
        Table(path, text_column="titel")
    with pytest.raises(BankError, match=r"The column 'jpg' of t.parquet holds bytes"):
        Table(path, id_column="jpg")


def test_metadata_is_what_json_has(tmp_path: Path) -> None:
    moment = datetime.datetime(2024, 5, 6, 7, 8, 9, 123456, datetime.UTC)
    number = uuid.UUID(int=5)
    table = pa.table(
        {
            "text": ["words"],
            "when": pa.array([moment], pa.timestamp("us", "UTC")),
            "exactly": pa.array([1_700_000_000_123_456_789], pa.timestamp("ns")),
            "day": [datetime.date(2024, 5, 6)],
            "clock": pa.array([1_000_000_001], pa.time64("ns")),
            "lasting": pa.array([1_000_000_000], pa.duration("ns")),
            "price": [decimal.Decimal("1.50")],
            "uuid": pa.array([number.bytes], pa.binary(16)).cast(pa.uuid()),
            "kind": pa.array(["a"]).dictionary_encode(),
            "list": [[1.5, float("nan")]],
            "struct": [{"a": {"b": moment.replace(tzinfo=None)}}],
            "map": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())),
            "infinite": [float("inf")],
            "yes": [True],
        }
    )
    (one,) = items(Table(parquet(tmp_path / "t.parquet", table)))
    assert one.metadata == {
        "when": "2024-05-06T07:08:09.123456+00:00",
        "exactly": "2023-11-14T22:13:20.123456",
        "day": "2024-05-06",
        "clock": "00:00:01",
        "lasting": "0:00:01",
        "price": "1.50",
        "uuid": str(number),
        "kind": "a",
        "list": [1.5, None],
        "struct": {"a": {"b": "2024-05-06T07:08:09.123456"}},
        "map": [["k", 1]],
        "yes": True,
    }


def test_columns_of_bytes_are_left_out_and_it_says_so(tmp_path: Path) -> None:
    table = pa.table(
        {
            "text": ["words"],
            "mask": [b"\0"],
            "depth": [{"bytes": b"x", "path": "y"}],
            "many": [[b"x"]],
            "named": pa.array([b"x"]).dictionary_encode(),
            "kept": [1],
        }
    )
    source = Table(parquet(tmp_path / "t.parquet", table))
    assert items(source)[0].metadata == {"kept": 1}
    assert source.left_out == ["mask", "depth", "many", "named"]
    assert source.format == "Parquet, 1 file; columns of bytes are left out: mask, depth, many, named."


def test_values_of_an_object_in_metadata_are_metadata_themselves(tmp_path: Path) -> None:
    rows = [
        {"text": "an object", "metadata": {"a": 1, "b": 2}, "b": 3},
        {"text": "its JSON", "metadata": '{"a": 1}'},
        {"text": "words", "metadata": "{words}"},
    ]
    path = lines(tmp_path / "t.jsonl", *rows)
    assert [one.metadata for one in items(Table(path))] == [{"a": 1, "b": 3}, {"a": 1}, {"metadata": "{words}"}]


def test_what_is_wrong_with_a_row_is_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_module, "MAX_FILE", 200)
    rows = [
        {"image": RED},
        {"text": 5},
        {"text": "list", "id": [1]},
        {"text": "surrogate", "id": "\ud800"},
        {"text": "number", "image": 5},
        {"text": "url", "image": "https://example.org/a.png"},
        {"text": "zero", "image": "a\0.png"},
        {"text": "long", "image": "x" * 5000},
        {"text": "folder", "image": "."},
        {"text": "deep", "x": json.loads("[" * 70 + "]" * 70)},
        "[1]",
        "no json",
        "[" * 100_000,
        '{"text": "huge", "n": ' + "1" * 5000 + "}",
    ]
    rows[0] = {"image": None}
    path = lines(tmp_path / "t.jsonl", *rows)
    assert list(reasons(Table(path)).values()) == [
        "no caption",
        "no caption",
        "an id that is neither text nor a number",
        "an id that is not valid Unicode",
        "an image that is neither the bytes of a file nor a path",
        "no such file",
        "no such file",
        "no such file",
        "no such file",
        "metadata that is nested too deeply",
        *["a line that cannot be read"] * 4,
    ]
    large = reasons(Table(parquet(tmp_path / "t.parquet", [{"text": "large", "image": bytes(201)}])))
    assert large == {"t.parquet:0": "too large: the picture file holds more than 200 bytes"}


def test_pictures_without_a_caption_are_taken_where_one_asks_for_them(tmp_path: Path) -> None:
    path = parquet(tmp_path / "t.parquet", [{"image": RED, "text": None}, {"image": None, "text": None}])
    assert reasons(Table(path)) == {"t.parquet:0": "no caption", "t.parquet:1": "no caption"}
    assert found(Table(path, uncaptioned=True)) == [Item("t.parquet:0", "", RED), Skipped("t.parquet:1", "no caption")]


def test_pictures_outside_of_the_folder_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(RED)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link.png").symlink_to(tmp_path / "secret.png")
    os.mkfifo(tmp_path / "in" / "pipe.png")
    given = ["../secret.png", str(tmp_path / "secret.png"), "link.png", "in/../../secret.png", "pipe.png"]
    said = reasons(Table(lines(tmp_path / "in" / "t.jsonl", *({"text": "x", "image": one} for one in given))))
    assert list(said.values()) == ["points outside of its folder"] * 4 + ["no such file"]
    structs = [{"text": "x", "image": {"bytes": None, "path": one}} for one in given]
    assert reasons(Table(parquet(tmp_path / "in" / "t.parquet", structs))).keys() == {f"t.parquet:{i}" for i in range(5)}


# --- files ---


def test_a_folder_of_tables_is_read_in_the_order_of_its_paths(tmp_path: Path) -> None:
    parquet(tmp_path / "b" / "t.parquet", [{"text": "three"}, {"text": "four"}])
    lines(tmp_path / "a.jsonl", {"text": "one"}, "", {"text": "two"})
    lines(tmp_path / "c.ndjson", {"text": "five"})
    lines(tmp_path / ".cache" / "d.jsonl", {"text": "hidden"})
    source = Table(tmp_path)
    assert [(one.name, one.text) for one in items(source)] == [
        ("a.jsonl:1", "one"),
        ("a.jsonl:3", "two"),
        ("b/t.parquet:0", "three"),
        ("b/t.parquet:1", "four"),
        ("c.ndjson:1", "five"),
    ]
    assert source.format == "JSON Lines and Parquet, 3 files."
    assert source.count() is None
    assert Table(tmp_path / "b").count() == 2


@settings(max_examples=25, deadline=None)
@given(sizes=st.lists(st.integers(0, 9), min_size=1, max_size=4), group=st.integers(1, 5), shard=st.integers(1, 7))
def test_shards_are_row_groups_and_none_is_lost(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], group: int, shard: int
) -> None:
    folder = tmp_path_factory.mktemp("tables")
    schema = pa.schema([("text", pa.string()), ("n", pa.int64())])
    for i, size in enumerate(sizes):
        rows = [{"text": f"{i} {j}", "n": j} for j in range(size)]
        parquet(folder / f"{i}.parquet", pa.Table.from_pylist(rows, schema), group)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "SHARD_ROWS", shard)
        source = Table(folder)
        texts = [one.text if isinstance(one, Item) else f"{one.name}: {one.reason}" for one in found(source)]
        expected = [[f"{i} {j}" for j in range(size)] or [f"{i}.parquet: an empty shard"] for i, size in enumerate(sizes)]
        assert texts == [text for texts in expected for text in texts]
        assert source.count() == len(texts)
        for one in source.shards():
            assert one.count() is not None
            assert (one.count() or 0) < shard + group


def test_a_byte_order_mark_and_other_line_ends_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_bytes(b'\xef\xbb\xbf{"text": "one"}\r\n\r\n{"text": "two"}\r\n')
    assert [one.text for one in items(Table(tmp_path / "t.jsonl"))] == ["one", "two"]


def test_a_line_that_is_too_long_never_enters_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_LINE", 100)
    long = {"text": "x" * 5000}
    path = lines(tmp_path / "t.jsonl", {"text": "one"}, long, {"text": "y" * 87}, {"text": "z" * 88}, {"text": "two"}, long)
    every = by_name(Table(path))
    assert [name for name, one in every.items() if isinstance(one, Item)] == ["t.jsonl:1", "t.jsonl:3", "t.jsonl:5"]
    assert every["t.jsonl:6"] == Skipped("t.jsonl:6", "a line longer than 100 bytes")


def test_lines_that_are_not_utf_8_are_left_out_alone(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_bytes(b'{"text": "\xff"}\n{"text": "good"}\n')
    assert reasons(Table(tmp_path / "t.jsonl")) == {"t.jsonl:1": "a line that cannot be read"}


def test_a_text_that_is_not_utf_8_is_left_out_alone(tmp_path: Path) -> None:
    texts = pa.array([f"text {i}".encode() for i in range(300)])
    broken = pa.Array.from_buffers(pa.string(), 300, texts.buffers()[:2] + [pa.py_buffer(_spoilt(texts.buffers()[2]))])
    path = parquet(tmp_path / "t.parquet", pa.table({"text": broken}))
    every = by_name(Table(path))
    assert [name for name, one in every.items() if isinstance(one, Skipped)] == ["t.parquet:0"]
    assert len(every) == 300


def _spoilt(buffer: pa.Buffer) -> bytes:
    content = bytearray(buffer.to_pybytes())
    content[0] = 0xFF
    return bytes(content)


def test_a_row_group_that_is_damaged_is_left_out_alone(tmp_path: Path) -> None:
    rows = [{"text": f"{i} " + "words " * 50} for i in range(300)]
    path = parquet(tmp_path / "t.parquet", rows, 100)
    column = pq.ParquetFile(path).metadata.row_group(1).column(0)
    content = bytearray(path.read_bytes())
    start = column.dictionary_page_offset or column.data_page_offset
    content[start : start + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    path.write_bytes(content)
    every = by_name(Table(path), damaged=True)
    assert len([one for one in every.values() if isinstance(one, Item)]) == 200
    (reason,) = [one.reason for one in every.values() if isinstance(one, Skipped)]
    assert reason.startswith("unreadable: ")
    assert isinstance(every["t.parquet:100-199"], Skipped)


@settings(max_examples=100, deadline=None)
@given(place=st.integers(0, 10_000), value=st.integers(0, 255))
def test_a_byte_of_parquet_that_flipped_is_never_fatal(
    tmp_path_factory: pytest.TempPathFactory, place: int, value: int
) -> None:
    path = parquet(tmp_path_factory.mktemp("t") / "t.parquet", [{"text": "one", "n": i, "image": RED} for i in range(3)])
    content = bytearray(path.read_bytes())
    content[place % len(content)] = value
    path.write_bytes(content)
    for one in Table(path):  # whatever it gives, nothing is raised
        assert one.name.startswith("t.parquet")


def test_files_that_cannot_be_read_are_left_out_and_the_others_are_read(tmp_path: Path) -> None:
    outside = parquet(tmp_path / "outside.parquet", [{"text": "secret"}])
    folder = tmp_path / "in"
    parquet(folder / "good.parquet", [{"text": "good"}])
    (folder / "bad.parquet").write_bytes(b"no table")
    (folder / "link.parquet").symlink_to(outside)
    (folder / "link.jsonl").symlink_to("/etc/passwd")
    os.mkfifo(folder / "pipe.parquet")
    os.mkfifo(folder / "pipe.jsonl")
    parquet(folder / "cut.parquet", [{"text": "cut"}])
    (folder / "cut.parquet").write_bytes((folder / "cut.parquet").read_bytes()[:-20])
    said = reasons(Table(folder))
    assert said.pop("bad.parquet").startswith("unreadable: ")
    assert said.pop("cut.parquet").startswith("unreadable: ")
    assert said == {
        "link.jsonl": "points outside of its folder",
        "link.parquet": "points outside of its folder",
        "pipe.jsonl": "no such file",
        "pipe.parquet": "no such file",
    }
    assert Table(folder / "bad.parquet").count() == 1


def test_where_there_is_no_table_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text\n")
    (tmp_path / "empty.jsonl").write_text("\n\n")
    assert reasons(Table(tmp_path)) == {"empty.jsonl": "an empty shard"}
    (tmp_path / "empty.jsonl").unlink()
    for path in (tmp_path, tmp_path / "gone.jsonl", tmp_path / "a.csv"):
        with pytest.raises(BankError, match="no table"):
            Table(path)
