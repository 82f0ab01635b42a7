"""Damage anywhere in a bank is found and named: a byte that differs, a file that is cut or gone, an index, a record."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import lance
import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from calumma.bank import Bank, Item, Skipped, add, add_tokens, build, remove
from calumma.bank.verify import Verdict, verify
from calumma.bank.writing import checksums
from calumma.bank.writing.compact import compact
from calumma.cli.bank import app
from calumma.errors import BankError
from calumma.interfaces import Options

from .conftest import words
from .samples import item, items, tree
from .test_bank_cli import answer
from .test_indexes import hnsw
from .test_tokens import Means


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bank that has seen every change, with several versions since it was compacted, a report and a kept index."""
    cache = tmp_path_factory.mktemp("cache")
    place = tmp_path_factory.mktemp("lived") / "bank"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CALUMMA_CACHE", str(cache))
        build(items(range(8)), place, words())
        remove(place, ["id1"])
        add(place, items(range(8, 12)), words())
        compact(place, keep_days=0)
        add(place, [*items(range(12, 15)), Skipped("x", "no caption")], words())
        add(place, items([2, 3, 13], "another"), words(), replace=True)
        remove(place, ["id5", "id14"])
        Bank.open(place).index(hnsw())
    (place.parent / "key").write_bytes((cache / "index.key").read_bytes())
    return place


@pytest.fixture
def bank(lived: Path, tmp_path: Path, cache: Path) -> Path:
    """A copy of it, with the cache of whoever made it."""
    shutil.copytree(lived, tmp_path / "bank")
    shutil.copy(lived.parent / "key", cache / "index.key")
    return tmp_path / "bank"


def files(bank: Path) -> list[str]:
    return list(tree(bank))


def damaged(bank: Path, name: str, damage: Callable[[bytes], bytes | None]) -> Verdict:
    """What `verify` says while one file is other than it was."""
    before = (bank / name).read_bytes()
    content = damage(before)
    (bank / name).unlink()
    if content is not None:
        (bank / name).write_bytes(content)
    try:
        return verify(bank)
    finally:
        (bank / name).write_bytes(before)


def names(verdict: Verdict, name: str) -> bool:
    """Whether a sentence of the verdict says which file it is."""
    parts = name.split("/")
    return any(name in one or (parts[0] == "_indexes" and all(part in one for part in parts[1:])) for one in verdict.damage)


def test_a_bank_that_has_seen_every_change_is_whole(bank: Path) -> None:
    before = tree(bank)
    verdict = verify(bank)
    assert (verdict.damage, verdict.unrecorded, verdict.documents) == ([], [], 12)
    assert verdict.version == Bank.open(bank).version
    assert verdict.files == len([name for name in before if name.split("/")[0] in checksums.KEPT]) - 1
    kinds = {name.split("/")[0] for name in before}
    assert kinds >= {"data", "_versions", "_transactions", "_deletions", "_reports", "_checksums", "_indexes"}
    assert tree(bank) == before


def test_after_each_change_a_bank_is_whole(tmp_path: Path) -> None:
    place, tokenizer = tmp_path / "bank", Means(Options())
    tokenizer.id = "tests/means@2"
    for change in (
        lambda: build(items(range(8)), place, words()),
        lambda: remove(place, ["id1"]),
        lambda: add(place, items(range(6, 10)), words()),
        lambda: add(place, items([2, 3, 20], "another"), words(), replace=True),
        lambda: compact(place),
        lambda: add_tokens(Bank.open(place), tokenizer),
        lambda: add(place, [*items([21]), Skipped("x", "no caption")], words()),
        lambda: compact(place, keep_days=0),
        lambda: build(items(range(3)), place, words(), overwrite=True),
        lambda: remove(place, ["id0", "id1", "id2"]),
    ):
        change()
        verdict = verify(place)
        assert verdict.damage == []


def test_a_byte_that_differs_is_found_in_every_file_and_the_file_is_named(bank: Path) -> None:
    chosen = random.Random(5)
    for name in files(bank):
        size = (bank / name).stat().st_size
        for at in {0, size - 1, *(chosen.randrange(size) for _ in range(4))}:

            def flip(content: bytes, at: int = at) -> bytes:
                return content[:at] + bytes([content[at] ^ (1 << chosen.randrange(8))]) + content[at + 1 :]

            verdict = damaged(bank, name, flip)
            assert not verdict.whole, (name, at)
            assert names(verdict, name), (name, at, verdict.damage)
    assert verify(bank).whole


def test_the_command_says_what_is_damaged_and_exits_with_1(bank: Path) -> None:
    whole = CliRunner().invoke(app, ["verify", str(bank)])
    assert (whole.exit_code, "whole; version" in whole.stdout) == (0, True)
    assert answer("verify", bank)["whole"] is True
    name = next(one for one in files(bank) if one.startswith("data/"))
    content = bytearray((bank / name).read_bytes())
    content[len(content) // 3] ^= 4
    (bank / name).write_bytes(content)
    told = CliRunner().invoke(app, ["verify", str(bank)])
    assert told.exit_code == 1
    assert "DAMAGED" in told.stdout
    assert f"{name} is not what was written." in told.stderr
    told = CliRunner().invoke(app, ["verify", str(bank), "--json"])
    assert told.exit_code == 1
    assert f'"{name} is not what was written."' in told.stdout


@pytest.mark.parametrize("folder", ["data", "_versions", "_transactions", "_deletions", "_reports", "_indexes"])
def test_a_file_that_is_gone_is_named(bank: Path, folder: str) -> None:
    for name in files(bank):
        if name.startswith(f"{folder}/") and name != checksums.HINT:
            verdict = damaged(bank, name, lambda content: None)
            assert not verdict.whole, name
            assert names(verdict, name), (name, verdict.damage)


def test_a_record_that_is_gone_leaves_files_that_nothing_vouches_for(bank: Path) -> None:
    for name in files(bank):
        if name.startswith("_checksums/"):
            assert damaged(bank, name, lambda content: None).unrecorded, name


def test_without_the_note_of_the_newest_version_nothing_is_lost(bank: Path) -> None:
    version = Bank.open(bank).version
    (bank / checksums.HINT).unlink()
    assert Bank.open(bank).version == version
    assert verify(bank).whole


@pytest.mark.parametrize("left", [0.0, 0.5, 0.99])
def test_a_file_that_is_cut_is_refused_by_opening_and_named(bank: Path, left: float) -> None:
    newest = {f"data/{one.path}" for part in Bank.open(bank).dataset.get_fragments() for one in part.metadata.files}
    assert newest
    for name in newest:
        before = (bank / name).read_bytes()
        (bank / name).write_bytes(before[: int(len(before) * left)])
        with pytest.raises(BankError, match="is damaged: data/") as caught:
            Bank.open(bank)
        assert name in caught.value.message
        assert names(verify(bank), name)
        (bank / name).unlink()
        with pytest.raises(BankError, match="is gone"):
            Bank.open(bank)
        (bank / name).write_bytes(before)
    Bank.open(bank)


def test_files_that_grew_are_damaged_too(bank: Path) -> None:
    for name in files(bank):
        assert not damaged(bank, name, lambda content: content + b"\0").whole, name


def test_a_bank_that_keeps_no_checksums_passes_and_says_so(bank: Path) -> None:
    shutil.rmtree(bank / "_checksums")
    before = tree(bank)
    verdict = verify(bank)
    assert (verdict.whole, verdict.files, verdict.documents) == (True, 0, 12)
    assert len(verdict.unrecorded) >= 10
    assert tree(bank) == before
    remove(bank, ["id0"])
    verdict = verify(bank)
    assert (verdict.whole, verdict.unrecorded) == (True, [])
    assert verdict.files > 10


def test_the_bank_of_the_starter_passes(tmp_path: Path) -> None:
    from calumma.extension import Catalog

    shipped = Catalog().resolve_asset("starter:memory")
    before = tree(shipped)
    verdict = verify(shipped)
    assert verdict.whole
    assert verdict.documents == len(Bank.open(shipped))
    assert tree(shipped) == before
    assert answer("verify", "starter:memory")["whole"] is True


def write(rows: dict[str, list[object]], bank: Path) -> None:
    """Lance's own words to change rows, which our checksums know nothing of."""
    dataset = lance.dataset(str(bank))
    table = dataset.to_table()
    for name, values in rows.items():
        at = table.schema.get_field_index(name)
        kept = table[name].to_pylist()
        field = table.schema.field(at)
        table = table.set_column(at, field, pa.array([*values, *kept[len(values) :]], field.type))
    lance.write_dataset(table, str(bank), mode="overwrite")


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ({"key": [5, 5]}, "A document's key is there twice."),
        ({"id": ["same", "same"]}, "A document's id is there twice."),
        ({"metadata": ["{"]}, "The metadata of document 'id0' cannot be read."),
        ({"metadata": ["[1]"]}, "The metadata of document 'id0' cannot be read."),
        ({"text_vector": [[0.5] * 32]}, "A text vector has not length 1."),
        ({"image_vector": [[float("nan")] * 32]}, "An image vector has not length 1."),
    ],
    ids=str,
)
def test_rows_that_no_writer_of_ours_would_write_are_damage(tmp_path: Path, rows: dict[str, list[object]], said: str) -> None:
    build(items(range(4)), tmp_path / "bank", words())
    write(rows, tmp_path / "bank")
    verdict = verify(tmp_path / "bank")
    assert verdict.damage == [said]


def test_documents_without_a_part_are_whole(tmp_path: Path) -> None:
    given = [Item("a", "words alone"), item(1), item(2, image=None), item(3)]
    build(given, tmp_path / "bank", words())
    assert verify(tmp_path / "bank").whole


def test_an_older_version_can_be_looked_at(bank: Path) -> None:
    versions = Bank.open(bank).versions()
    for one in versions:
        verdict = verify(bank, one["version"])
        assert (verdict.version, verdict.documents, verdict.damage) == (one["version"], one["documents"], [])
    assert not verify(bank, 99).whole


def test_what_is_no_bank_is_refused(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "gone"):
        with pytest.raises(BankError, match="There is no bank at"):
            verify(place)


def test_a_bank_that_cannot_be_written_can_be_verified(bank: Path) -> None:
    places = [bank, *(one for one in bank.rglob("*") if one.is_dir())]
    for one in places:
        one.chmod(0o555)
    try:
        assert verify(bank).whole
    finally:
        for one in places:
            one.chmod(0o755)


def test_records_can_be_read_by_whoever_can_read_the_bank(bank: Path) -> None:
    readable = (bank / next(name for name in files(bank) if name.startswith("data/"))).stat().st_mode
    for name in files(bank):
        assert (bank / name).stat().st_mode == readable, name


def test_a_damaged_index_is_built_again_and_then_all_is_whole(bank: Path) -> None:
    query = words().embed_texts(["a red disc 3"])[0]
    before = Bank.open(bank).search(vector=query, k=5, retriever=hnsw())
    victim = next(bank / name for name in files(bank) if name.endswith("bank_keys.npy"))
    np.save(victim, np.arange(3))
    assert not verify(bank).whole
    after = Bank.open(bank).search(vector=query, k=5, retriever=hnsw())
    assert [one.key for one in after] == [one.key for one in before]
    assert verify(bank).whole
