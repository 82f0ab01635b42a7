"""What an interrupted change left goes on with its own call alone: another one, somebody else's and damage are refused."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from calumma.bank import Bank, add, build, remove
from calumma.bank.verify import verify
from calumma.bank.writing import changes
from calumma.bank.writing.compact import compact
from calumma.errors import BankError

from .conftest import words
from .samples import Listed, contents, counting, go_in_small_steps, items


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    go_in_small_steps(monkeypatch, fragment=4)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A bank with an addition that was interrupted after two fragments and some vectors."""
    build(items(range(6)), tmp_path / "bank", words())
    with pytest.raises(RuntimeError):
        add(tmp_path / "bank", interrupted(), words(), batch=2)
    return tmp_path / "bank"


def interrupted(name: str = "/the/source") -> Listed:
    return Listed(items(range(6, 16)), name, RuntimeError())


def resumed(place: Path, **more: object) -> None:
    embedder = counting()
    add(place, Listed(items(range(6, 16)), "/the/source"), embedder, batch=2, **more)
    assert len(embedder.texts) == (10 if more else 2)
    assert sorted(contents(place)) == sorted(f"id{i}" for i in range(16))
    assert verify(place).whole
    assert not (place / "_pending").exists()


@pytest.mark.parametrize("verb", ["another source", "a source without a name", "upsert", "overwrite"])
def test_another_change_is_refused_and_told_what_was_interrupted(place: Path, verb: str) -> None:
    embedder, other = counting(), Listed(items(range(20, 22)), "/another/source")
    same = Listed(items(range(6, 16)), "/the/source")
    change = {
        "another source": lambda: add(place, other, embedder),
        "a source without a name": lambda: add(place, other.given, embedder),
        "upsert": lambda: add(place, same, embedder, replace=True),
        "overwrite": lambda: build(same, place, embedder, overwrite=True),
    }[verb]
    with pytest.raises(BankError) as caught:
        change()
    assert "`bank add` of /the/source was interrupted in" in caught.value.message
    assert "--discard" in caught.value.fix
    assert embedder.calls == 0
    resumed(place)


def test_another_embedder_is_refused_where_a_new_bank_was_interrupted(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        build(interrupted(), tmp_path / "new", words(), batch=2)
    other = counting("other")
    with pytest.raises(BankError, match=r"`bank build` of /the/source by tests/words#.* was interrupted"):
        build(Listed(items(range(6, 16)), "/the/source"), tmp_path / "new", other)
    build(Listed(items(range(6, 8)), "/the/source"), tmp_path / "new", other, discard_pending=True)
    assert len(other.texts) == 2
    assert Bank.open(tmp_path / "new").fingerprint == other.fingerprint()


def test_what_was_interrupted_can_be_given_up(place: Path) -> None:
    embedder = counting()
    report = add(place, Listed(items(range(4, 8)), "/another/source"), embedder, discard_pending=True)
    assert (report.resumed, report.embedded, len(embedder.texts)) == (0, 2, 2)
    assert sorted(contents(place)) == sorted(f"id{i}" for i in range(8))
    assert verify(place).whole


def test_the_same_change_can_begin_anew(place: Path) -> None:
    resumed(place, discard_pending=True)


def test_nothing_is_left_to_go_on_with_where_nothing_was_embedded(tmp_path: Path) -> None:
    build(items(range(6)), tmp_path / "bank", words())
    failing = counting()
    failing.fails_at, failing.error = 1, RuntimeError("out of memory")
    for verb in (add, build):
        with pytest.raises(RuntimeError):
            verb(*((tmp_path / "bank", interrupted()) if verb is add else (interrupted(), tmp_path / "new")), failing)
        failing.calls = 0
    assert sorted(one.name for one in tmp_path.iterdir()) == ["bank"]
    assert not (tmp_path / "bank" / "_pending").exists()
    add(tmp_path / "bank", Listed(items(range(20, 22)), "/another/source"), words())


def test_what_a_killed_change_had_only_begun_stands_in_nobodys_way(place: Path) -> None:
    with sqlite3.connect(place / "_pending" / "rows.sqlite") as rows:
        rows.executescript("DELETE FROM ids; DELETE FROM vectors; DELETE FROM fragments;")
    add(place, Listed(items(range(20, 22)), "/another/source"), words())
    assert len(Bank.open(place)) == 8


def test_rows_that_outlived_their_change_are_never_committed(place: Path) -> None:
    """A writer that was killed while it cleared its journal away may leave the rows and no word of what they were."""
    (place / "_pending" / "change.json").unlink()
    report = add(place, items(range(20, 22)), words())
    assert (report.kept, report.resumed) == (2, 0)
    assert sorted(contents(place)) == sorted(f"id{i}" for i in (*range(6), 20, 21))


def test_a_journal_of_somebody_else_is_refused_and_can_be_given_up(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("CALUMMA_CACHE", str(place.parent / "their cache"))
        for change in (
            lambda: add(place, Listed(items(range(6, 16)), "/the/source"), words()),
            lambda: add(place, items([20]), words()),
            lambda: remove(place, ["id0"]),
            lambda: compact(place),
        ):
            with pytest.raises(BankError, match="Somebody else was changing the bank") as caught:
                change()
            assert "--discard" in caught.value.fix
        assert verify(place).whole
        assert Bank.open(place).version == 1
    resumed(place)


@pytest.mark.parametrize("change", ["verb", "source", "base", "transaction", "seal", "cut", "list", "gone verb", "huge"])
def test_a_journal_that_was_changed_is_refused(place: Path, change: str) -> None:
    path = place / "_pending" / "change.json"
    told = json.loads(path.read_text())
    written = {
        "cut": path.read_text()[:40],
        "list": "[]",
        "gone verb": json.dumps({name: one for name, one in told.items() if name != "verb"}),
        "huge": "[" * 200_000,
    }.get(change)
    altered = {"verb": "upsert", "base": 7}.get(change, "another")
    path.write_text(written or json.dumps({**told, change: altered}))
    with pytest.raises(BankError) as caught:
        add(place, Listed(items(range(6, 16)), "/the/source"), words())
    assert "--discard" in caught.value.fix
    assert verify(place).whole
    resumed(place, discard_pending=True)


@pytest.mark.parametrize("name", ["../outside.lance", "/etc/passwd", "..", ".hidden", "a\\b", "", "_versions/x"])
def test_a_journal_that_names_files_outside_of_the_bank_is_refused(place: Path, name: str) -> None:
    with sqlite3.connect(place / "_pending" / "rows.sqlite") as rows:
        ((number, told, sums),) = rows.execute("SELECT * FROM fragments ORDER BY number LIMIT 1").fetchall()
        fragment = json.loads(told)
        ours = fragment["files"][0]["path"]
        fragment["files"][0]["path"] = name
        moved = sums.replace(ours, name.replace("\\", "\\\\"))
        rows.execute("UPDATE fragments SET fragment = ?, files = ? WHERE number = ?", (json.dumps(fragment), moved, number))
    with pytest.raises(BankError) as caught:
        add(place, Listed(items(range(6, 16)), "/the/source"), words())
    assert "--discard" in caught.value.fix
    assert Bank.open(place).version == 1
    resumed(place, discard_pending=True)


@pytest.mark.parametrize("damage", ["cut", "flipped", "gone"])
@pytest.mark.parametrize("source", [range(6, 16), range(6, 12)], ids=["the same source", "a source that has changed"])
def test_rows_that_were_damaged_in_between_are_refused(place: Path, damage: str, source: range) -> None:
    with sqlite3.connect(place / "_pending" / "rows.sqlite") as rows:
        (told,) = rows.execute("SELECT fragment FROM fragments ORDER BY number LIMIT 1").fetchone()
    file = place / "data" / json.loads(told)["files"][0]["path"]
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 255
    file.unlink()
    if damage != "gone":
        file.write_bytes(content if damage == "flipped" else content[:-100])
    with pytest.raises(BankError, match="What was interrupted is damaged: data/") as caught:
        add(place, Listed(items(source), "/the/source"), words())
    assert "--discard" in caught.value.fix
    assert len(Bank.open(place)) == 6
    resumed(place, discard_pending=True)


def test_a_journal_whose_rows_are_no_database_begins_anew(place: Path) -> None:
    for name in ("rows.sqlite-wal", "rows.sqlite-shm"):
        (place / "_pending" / name).unlink(missing_ok=True)
    (place / "_pending" / "rows.sqlite").write_bytes(b"nonsense" * 1000)
    embedder = counting()
    add(place, Listed(items(range(6, 16)), "/the/source"), embedder)
    assert len(embedder.texts) == 10
    assert len(contents(place)) == 16


@pytest.mark.parametrize("what", ["_pending", "_pending/rows.sqlite"])
def test_a_journal_that_is_a_link_is_not_followed(place: Path, what: str) -> None:
    elsewhere = place.parent / "elsewhere"
    (place / what).rename(elsewhere)
    (place / what).symlink_to(elsewhere)
    with pytest.raises(BankError, match="is a link to somewhere else"):
        add(place, Listed(items(range(6, 16)), "/the/source"), words())
    resumed(place, discard_pending=True)
    assert elsewhere.exists()


def test_the_folder_of_an_interrupted_build_is_no_bank_and_goes_with_the_build(tmp_path: Path) -> None:
    out, staging = tmp_path / "new", tmp_path / ".new.building"
    with pytest.raises(RuntimeError):
        build(interrupted(), out, words(), batch=2)
    assert [one.name for one in tmp_path.iterdir()] == [staging.name]
    with pytest.raises(BankError, match="holds no bank"):
        Bank.open(staging)
    embedder = counting()
    build(Listed(items(range(6, 16)), "/the/source"), out, embedder, batch=2)
    assert embedder.texts == ["a red disc 14", "a red disc 15"]
    assert [one.name for one in tmp_path.iterdir()] == ["new"]
    assert len(contents(out)) == 10


def test_a_build_that_came_to_its_end_but_not_to_its_place_goes_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, source = tmp_path / "new", Listed(items(range(6, 16)), "/the/source")

    def refuse(place: Path, out: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(changes, "_move", refuse)
        with pytest.raises(KeyboardInterrupt):
            build(source, out, words(), batch=2)
    assert not out.exists()
    embedder = counting()
    report = build(source, out, embedder, batch=2)
    assert (embedder.calls, report.resumed, report.version) == (0, 10, Bank.open(out).version)
    assert sorted(contents(out)) == sorted(f"id{i}" for i in range(6, 16))
    assert verify(out).whole
    assert [one.name for one in tmp_path.iterdir()] == ["new"]


def test_a_build_that_was_moved_but_not_cleared_is_a_bank_like_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, source = tmp_path / "new", Listed(items(range(6, 16)), "/the/source")

    def moved(place: Path, out: Path) -> None:
        place.rename(out)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(changes, "_move", moved)
        with pytest.raises(KeyboardInterrupt):
            build(source, out, words(), batch=2)
    assert len(contents(out)) == 10
    assert verify(out).whole
    with pytest.raises(BankError, match="There is a bank at"):
        build(source, out, words(), batch=2)
    assert add(out, items([20]), words()).version == 2
    assert verify(out).whole
    assert not (out / "_pending").exists()
