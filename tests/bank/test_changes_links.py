"""A bank may come from anybody: what it holds in the place of a folder or a file never says where a change writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from calumma.bank import Bank, add, build, remove
from calumma.bank.verify import verify
from calumma.bank.writing.compact import compact
from calumma.bank.writing.whole import write_whole
from calumma.errors import BankError

from .conftest import words
from .samples import items, tree


@pytest.fixture
def place(tmp_path: Path) -> Path:
    build(items(range(4)), tmp_path / "bank", words())
    remove(tmp_path / "bank", ["id3"])
    return tmp_path / "bank"


@pytest.mark.parametrize("name", ["_lock", "_lock.json", "_checksums", "_versions", "data", "_reports", "_deletions"])
def test_a_link_in_a_banks_folder_is_refused_and_nothing_is_written_through_it(place: Path, name: str) -> None:
    elsewhere = place.parent / "elsewhere"
    if (place / name).is_dir():
        (place / name).rename(elsewhere)
    elif name.startswith("_lock"):
        elsewhere.write_text("precious")
        (place / name).unlink(missing_ok=True)
    else:
        elsewhere.mkdir()
    (place / name).symlink_to(elsewhere)
    before = elsewhere.read_bytes() if elsewhere.is_file() else tree(elsewhere)
    for change in (
        lambda: add(place, items([7]), words()),
        lambda: remove(place, ["id0"]),
        lambda: compact(place, keep_days=0),
        lambda: build(items([7]), place, words(), overwrite=True),
    ):
        with pytest.raises(BankError, match=f"{name} is a link to somewhere else"):
            change()
    verify(place)
    assert (elsewhere.read_bytes() if elsewhere.is_file() else tree(elsewhere)) == before


def test_a_bank_that_is_itself_reached_by_a_link_can_be_changed(place: Path) -> None:
    link = place.with_name("link")
    link.symlink_to(place)
    assert add(link, items([7]), words()).version == 3
    assert remove(link, ["id7"]) == 1
    assert verify(link).whole
    assert len(Bank.open(place)) == 3


@pytest.mark.parametrize("name", ["_lock.json", "_versions/latest_version_hint.json"])
def test_small_files_are_written_in_place_of_a_link_and_never_through_it(place: Path, name: str) -> None:
    elsewhere = place.parent / "elsewhere"
    elsewhere.write_text("precious")
    (place / name).unlink(missing_ok=True)
    (place / name).symlink_to(elsewhere)
    write_whole(place / name, b"ours")
    assert (elsewhere.read_text(), (place / name).read_bytes(), (place / name).is_symlink()) == ("precious", b"ours", False)
