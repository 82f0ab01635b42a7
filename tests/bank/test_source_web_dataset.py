"""Tar files of samples: WebDataset's, img2dataset's, and those that somebody made to do harm."""

from __future__ import annotations

import itertools
import json
import os
import tarfile
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calumma.bank import Item, Skipped
from calumma.bank.sources import WebDataset
from calumma.bank.sources import web_dataset as module
from calumma.errors import BankError

from .sources import BLUE, RED, by_name, found, items, member, reasons, sample, write_tar

DAMAGED = "damaged or cut off: the rest of the archive cannot be read"


def test_members_of_one_name_are_a_document(tmp_path: Path) -> None:
    values = {"id": 7, "width": 12, "caption": "a red square", "sub": {"x": None}}
    path = write_tar(tmp_path / "one.tar", {**sample("a/000", RED, " a red square\n", **values), **sample("001", BLUE, "blue")})
    assert items(WebDataset(path)) == [
        Item("one.tar/a/000", "a red square", RED, "7", {"width": 12, "sub": {"x": None}}),
        Item("one.tar/001", "blue", BLUE),
    ]
    assert WebDataset(path).format == "A webdataset of 1 tar file."


def test_a_caption_may_be_in_the_json_and_another_one_is_kept_as_metadata(tmp_path: Path) -> None:
    members = {
        **sample("a", RED, caption="of the json", text="first of the two"),
        **sample("b", RED, "of the text", caption="another"),
        "c.json": b'{"caption": "no picture"}',
        "d.txt": b"\xef\xbb\xbfwords alone",
    }
    path = write_tar(tmp_path / "x.tar", members)
    assert [(one.text, one.image, one.metadata) for one in items(WebDataset(path))] == [
        ("first of the two", RED, {"caption": "of the json"}),
        ("of the text", RED, {"caption": "another"}),
        ("no picture", None, {}),
        ("words alone", None, {}),
    ]


def test_other_keys_of_the_json_may_be_the_text_and_the_id(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "x.tar", sample("a", RED, "beside", title="a title", uid="u1"))
    (one,) = items(WebDataset(path, text_column="title", id_column="uid"))
    assert (one.text, one.id, one.metadata) == ("a title", "u1", {})


def test_the_key_of_img2dataset_is_no_id_since_another_run_gives_it_to_another_picture(tmp_path: Path) -> None:
    (one,) = items(WebDataset(write_tar(tmp_path / "x.tar", sample("000", RED, "a", key="000", url="http://a"))))
    assert (one.id, one.metadata) == (None, {"key": "000", "url": "http://a"})


def test_the_first_picture_of_a_sample_is_taken_and_other_members_are_passed_by(tmp_path: Path) -> None:
    members = {"a.cls": b"3", "a.PNG": BLUE, "a.jpg": RED, "a.seg.png": RED, "a.npy": b"\x80\x04.", "a.txt": b"words"}
    (one,) = items(WebDataset(write_tar(tmp_path / "x.tar", members)))
    assert (one.text, one.image) == ("words", BLUE)


def test_what_is_missing_or_broken_is_left_out_with_a_reason(tmp_path: Path) -> None:
    members = [
        *[member(name, content) for name, content in sample("no-text", RED).items()],
        member("bad.jpg", RED),
        member("bad.txt", b"\xff\xfe"),
        member("json.jpg", RED),
        member("json.json", b"[1]"),
        member("folder", kind=tarfile.DIRTYPE),
        member("folder/README"),
        member("folder/._x.jpg", RED),
        member("id.txt", b"text"),
        member("id.json", b'{"id": ["a"]}'),
    ]
    path = write_tar(tmp_path / "x.tar", members)
    assert reasons(WebDataset(path)) == {
        "x.tar/no-text": "no caption",
        "x.tar/bad": "a text that is not UTF-8",
        "x.tar/json": "its json cannot be read",
        "x.tar/folder/README": "a member that is part of no sample",
        "x.tar/folder/._x.jpg": "a member that is part of no sample",
        "x.tar/id": "an id that is neither text nor a number",
    }
    with_pictures = by_name(WebDataset(path, uncaptioned=True))
    assert with_pictures["x.tar/no-text"] == Item("x.tar/no-text", "", RED)


def test_a_key_that_comes_again_is_called_otherwise(tmp_path: Path) -> None:
    names = ["a.jpg", "a.txt", "b.txt", "a.txt", "a.txt"]
    path = write_tar(tmp_path / "x.tar", [member(name, b"content") for name in names])
    assert [one.name for one in items(WebDataset(path))] == ["x.tar/a", "x.tar/b", "x.tar/a#2", "x.tar/a#3"]


def test_names_that_no_terminal_should_see_are_escaped(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "x.tar", {"\x1b[2J.txt": b"a", "\udc80.txt": b"b", "c\n.txt": b"c"})
    assert [one.name for one in items(WebDataset(path))] == ["x.tar/\\x1b[2J", "x.tar/\\udc80", "x.tar/c\\n"]


def test_a_folder_is_read_in_the_order_of_its_paths(tmp_path: Path) -> None:
    for name in ("b.tar", "a.tar", "sub/c.TAR", ".hidden/d.tar"):
        write_tar(tmp_path / name, {"k.txt": name.encode()})
    (tmp_path / "notes.txt").write_text("no tar")
    source = WebDataset(tmp_path)
    assert [one.name for one in items(source)] == ["a.tar/k", "b.tar/k", "sub/c.TAR/k"]
    assert len(source.shards()) == 3
    assert source.format == "A webdataset of 3 tar files."


def test_a_pattern_in_braces_stands_for_its_files_in_its_order(tmp_path: Path) -> None:
    for name in ("train/s-009.tar", "train/s-010.tar", "val/s-009.tar", "val/s-011.tar"):
        write_tar(tmp_path / name, {"k.txt": name.encode()})
    source = WebDataset(f"{tmp_path}/{{val,train}}/s-{{009..010}}.tar")
    assert [(one.name, getattr(one, "reason", "")) for one in found(source)] == [
        ("val/s-009.tar/k", ""),
        ("val/s-010.tar", "no such file"),
        ("train/s-009.tar/k", ""),
        ("train/s-010.tar/k", ""),
    ]


def test_numbers_of_a_pattern_are_padded_as_they_are_written(tmp_path: Path) -> None:
    numbers = {"{8..10}": ["8", "9", "10"], "{08..10}": ["08", "09", "10"], "{10..9}": ["10", "9"], "{0..1}": ["0", "1"]}
    for pattern, expected in numbers.items():
        assert [str(one) for one in module._expanded(Path(f"a{pattern}.tar"))] == [f"a{one}.tar" for one in expected]


def test_a_file_whose_name_has_braces_is_itself(tmp_path: Path) -> None:
    write_tar(tmp_path / "a{0..1}.tar", {"k.txt": b"words"})
    assert [one.name for one in items(WebDataset(tmp_path / "a{0..1}.tar"))] == ["a{0..1}.tar/k"]


@pytest.mark.parametrize("path", ["gone.tar", "gone{0..3}.tar", "empty", "pipe:touch ran", "x{0..9999999}.tar"])
def test_where_there_are_no_tar_files_it_says_so(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(BankError, match=r"no tar files|more than 1,000,000 files"):
        WebDataset(path)
    assert [one.name for one in tmp_path.iterdir()] == ["empty"]


# --- what img2dataset writes ---


def img2dataset(folder: Path) -> Path:
    """Two shards of three rows; of each one was not downloaded."""
    for shard in ("00000", "00001"):
        keys = [f"{shard}{i:04d}" for i in range(3)]
        good = {"status": "success", "error_message": None, "width": 12, "original_width": 900}
        told = [{"key": key, "url": f"http://x/{key}", "caption": f"of {key}", **good} for key in keys]
        told[1] |= {"status": "failed_to_download", "error_message": "HTTP Error 404: Not Found", "width": None}
        members: dict[str, bytes] = {}
        for one in told:
            if one["status"] == "success":
                members |= sample(one["key"], RED, one["caption"], **one)
        write_tar(folder / f"{shard}.tar", members)
        pq.write_table(pa.Table.from_pylist(told), folder / f"{shard}.parquet")
        (folder / f"{shard}_stats.json").write_text(json.dumps({"count": 3, "successes": 2}))
    return folder


def test_what_img2dataset_could_not_download_is_reported_with_its_reason(tmp_path: Path) -> None:
    source = WebDataset(img2dataset(tmp_path))
    assert source.format == "img2dataset's output, 2 tar files."
    assert source.count() == 6
    every = found(source)
    assert [one.name for one in every] == [
        *["00000.tar/000000000", "00000.tar/000000002", "00000.tar/000000001"],
        *["00001.tar/000010000", "00001.tar/000010002", "00001.tar/000010001"],
    ]
    assert every[2] == Skipped("00000.tar/000000001", "failed to download: HTTP Error 404: Not Found")
    assert isinstance(one := every[0], Item)
    assert one.metadata["original_width"] == 900
    assert "caption" not in one.metadata


def test_a_parquet_file_of_something_else_or_damaged_beside_a_tar_does_no_harm(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        write_tar(tmp_path / f"{name}.tar", {"k.txt": b"words"})
    pq.write_table(pa.table({"text": ["x"]}), tmp_path / "a.parquet")
    (tmp_path / "b.parquet").write_bytes(b"PAR1 no table PAR1")
    secret = tmp_path.parent / f"{tmp_path.name}-outside.parquet"
    pq.write_table(pa.table({"key": ["k"], "status": ["failed"]}), secret)
    (tmp_path / "c.parquet").symlink_to(secret)
    (tmp_path / "a_stats.json").write_text('{"count": "many"}')
    said = reasons(WebDataset(tmp_path))
    assert said.pop("b.parquet").startswith("unreadable: ")
    assert said == {"c.parquet": "points outside of its folder"}
    assert WebDataset(tmp_path).count() is None


# --- archives that are broken, or made to do harm ---


def test_an_empty_archive_is_an_empty_shard(tmp_path: Path) -> None:
    (tmp_path / "none.tar").write_bytes(b"")
    (tmp_path / "zeros.tar").write_bytes(bytes(10_240))
    write_tar(tmp_path / "folders.tar", [member("a", kind=tarfile.DIRTYPE)])
    assert set(reasons(WebDataset(tmp_path)).values()) == {"an empty shard"}


def test_of_an_archive_that_is_cut_off_comes_what_could_be_read(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "x.tar", {**sample("a", RED, "one"), **sample("b", RED, "two"), **sample("c", RED, "three")})
    whole = path.read_bytes()
    every = items(WebDataset(path))
    assert len(every) == 3
    for length in range(0, len(whole) - 10_240 + 1, 512):
        for ragged in (0, 100):
            path.write_bytes(whole[: length + ragged])
            *good, last = found(WebDataset(path))
            assert good == every[: len(good)]
            assert last == Skipped("x.tar", DAMAGED if length + ragged else "an empty shard")


@settings(max_examples=60, deadline=None)
@given(place=st.integers(0, 10_000), value=st.integers(0, 255))
def test_a_byte_that_flipped_is_never_fatal(tmp_path_factory: pytest.TempPathFactory, place: int, value: int) -> None:
    path = write_tar(tmp_path_factory.mktemp("tar") / "x.tar", {**sample("a", RED, "one", x=1), **sample("b", RED, "two", x=2)})
    content = bytearray(path.read_bytes())
    content[place % len(content)] = value
    path.write_bytes(content)
    assert found(WebDataset(path))


def test_a_header_that_is_damaged_is_not_taken_for_the_end(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "x.tar", {"a.txt": b"one", "b.txt": b"two", "c.txt": b"three"})
    content = bytearray(path.read_bytes())
    content[1024:1536] = b"x" * 512
    path.write_bytes(content)
    assert reasons(WebDataset(path)) == {"x.tar": DAMAGED}


def test_members_that_lead_elsewhere_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes(BLUE)
    secret = str(tmp_path / "secret.jpg")
    path = write_tar(
        tmp_path / "in" / "x.tar",
        [
            member("../up.txt", b"up"),
            member(secret.replace(".jpg", ".txt"), b"absolute"),
            member("link.jpg", kind=tarfile.SYMTYPE, target=secret),
            member("link.txt", b"of a link"),
            member("hard.jpg", kind=tarfile.LNKTYPE, target="../secret.jpg"),
            member("hard.txt", b"of a hard link"),
            member("dev", kind=tarfile.CHRTYPE),
            member("pipe.jpg", kind=tarfile.FIFOTYPE),
            member("good.jpg", RED),
            member("good.txt", b"good"),
        ],
    )
    every = by_name(WebDataset(path))
    assert every.pop("x.tar/good") == Item("x.tar/good", "good", RED)
    assert {name: one.reason for name, one in every.items() if isinstance(one, Skipped)} == {
        "x.tar/../up": "its txt points outside of the archive",
        f"x.tar/{secret.removesuffix('.jpg')}": "its txt points outside of the archive",
        "x.tar/link": "its jpg is a link",
        "x.tar/hard": "its jpg is a link",
        "x.tar/dev": "a member that is a device or a pipe",
        "x.tar/pipe": "its jpg is a device or a pipe",
    }
    assert [one.name for one in sorted(tmp_path.rglob("*"))] == ["in", "x.tar", "secret.jpg"]


def test_a_member_that_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_FILE", 1000)
    members = {**sample("a", bytes(1001), "large"), **sample("b", bytes(1000), "just right"), "c.txt": bytes(2**20 + 1)}
    every = by_name(WebDataset(write_tar(tmp_path / "x.tar", members)))
    assert every["x.tar/a"] == Skipped("x.tar/a", "its jpg is too large: it holds more than 1,000 bytes")
    assert isinstance(every["x.tar/b"], Item)
    assert every["x.tar/c"] == Skipped("x.tar/c", "its txt is too large: it holds more than 1,048,576 bytes")


def bombs() -> dict[str, bytes]:
    """Headers that promise what no file has."""

    def header(kind: bytes, size: int, name: str = "a.jpg") -> bytes:
        info = tarfile.TarInfo(name)
        info.type, info.size = kind, size
        return info.tobuf(tarfile.GNU_FORMAT)

    sparse = bytearray(header(tarfile.GNUTYPE_SPARSE, 2**60))
    sparse[483:495] = b"77777777777\0"
    pax = tarfile.TarInfo("b.jpg")
    pax.pax_headers = {"size": str(2**62)}
    negative = tarfile.TarInfo("c.jpg")
    negative.pax_headers = {"size": "-512"}
    return {
        "a member of 2^60 bytes": header(tarfile.REGTYPE, 2**60),
        "one that nobody wants": header(tarfile.REGTYPE, 2**60, "a.bin"),
        "a long name of 2^40 bytes": header(tarfile.GNUTYPE_LONGNAME, 2**40),
        "a negative size": header(tarfile.REGTYPE, -(2**40)),
        "a sparse file": bytes(sparse),
        "an extended size": pax.tobuf(tarfile.PAX_FORMAT),
        "an extended negative size": negative.tobuf(tarfile.PAX_FORMAT),
        "headers upon headers": header(tarfile.XHDTYPE, 0) * 5000,
    }


@pytest.mark.parametrize("what", bombs())
def test_a_header_that_promises_too_much_ends_the_archive(what: str, tmp_path: Path) -> None:
    first = write_tar(tmp_path / "x.tar", {**sample("good", RED, "good"), "z.cls": b""}).read_bytes()[: 5 * 512]
    (tmp_path / "x.tar").write_bytes(first + bombs()[what] + bytes(10_240))
    every = found(WebDataset(tmp_path / "x.tar"))
    assert every[0] == Item("x.tar/good", "good", RED)
    assert all(isinstance(one, Skipped) for one in every[1:])
    assert every[-1] == Skipped("x.tar", DAMAGED)


def peak_of(path: Path) -> int:
    """Bytes of memory that reading a tar file took at the most."""
    tracemalloc.start()
    assert sum(1 for _ in WebDataset(path))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most


def test_many_members_take_no_more_memory_than_few(tmp_path: Path) -> None:
    few, many = (
        write_tar(tmp_path / f"{number}.tar", {f"{i:06d}.txt": b"x" * 1000 for i in range(number)}) for number in (2000, 6000)
    )
    assert peak_of(many) - peak_of(few) < 4000 * 300  # the name of each is remembered, and nothing else


def test_a_name_of_64_mib_is_not_read(tmp_path: Path) -> None:
    info = tarfile.TarInfo("long")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 2**26
    (tmp_path / "x.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT))
    os.truncate(tmp_path / "x.tar", 2**26 + 20_480)
    assert peak_of(tmp_path / "x.tar") < 2**24


def test_what_is_no_ordinary_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.tar")
    write_tar(tmp_path / "good.tar", {"a.txt": b"words"})
    outside = tmp_path.parent / f"{tmp_path.name}-outside.tar"
    write_tar(outside, {"a.txt": b"secret"})
    (tmp_path / "link.tar").symlink_to(outside)
    assert reasons(WebDataset(tmp_path)) == {"pipe.tar": "no such file", "link.tar": "points outside of its folder"}


def test_patterns_multiply(tmp_path: Path) -> None:
    names = [str(one) for one in module._expanded(Path("{a,b}-{0..1}.tar"))]
    assert names == [f"{letter}-{number}.tar" for letter, number in itertools.product("ab", "01")]
