"""Two writers at once: one wins, the other is told who writes; readers see a version as it was and never half of one."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from calumma.bank import Bank, add, build, remove
from calumma.bank.verify import verify
from calumma.bank.writing.compact import compact
from calumma.errors import BankError

from .conftest import words
from .killing import Server
from .samples import contents, counting, items, keys


@pytest.fixture(scope="module")
def servers() -> Iterator[list[Server]]:
    several = [Server() for _ in range(2)]
    yield several
    for one in several:
        one.close()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    build(items(range(6)), tmp_path / "bank", words())
    return tmp_path / "bank"


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "gate")
    return tmp_path / "gate"


def test_a_second_writer_is_told_who_writes_and_may_go_on_afterwards(
    place: Path, servers: list[Server], gate: Path, tmp_path: Path
) -> None:
    first, second = servers
    before = contents(place)
    first.begin("add", place, tmp_path / "log", numbers=(6, 7, 8), gate=str(gate))
    with gate.open("w"):  # opens when the other one embeds, and so holds the lock
        ended = second.run("add", place, tmp_path / "log", numbers=(8, 9))
        assert "BankError" in ended.answer
        assert f"is being written by another process (bank add, process {first.child} on " in ended.answer
        for change in (
            lambda: add(place, items([9]), words()),
            lambda: add(place, items([1], "another"), words(), replace=True),
            lambda: remove(place, ["id0"]),
            lambda: compact(place),
            lambda: build(items([9]), place, words(), overwrite=True),
        ):
            with pytest.raises(BankError, match=f"bank add, process {first.child} on") as caught:
                change()
            assert "Try again" in caught.value.fix
        assert contents(place) == before
        assert verify(place).whole
    assert first.end().answer == "2"
    assert second.run("add", place, tmp_path / "log", numbers=(8, 9)).answer == "3"
    assert sorted(contents(place)) == [f"id{i}" for i in range(10)]
    assert verify(place).whole
    assert not (place / "_lock.json").exists()


def test_of_two_builds_of_one_bank_one_wins(tmp_path: Path, servers: list[Server], gate: Path) -> None:
    first, second = servers
    first.begin("build", tmp_path / "new", tmp_path / "log", numbers=(1, 2), gate=str(gate))
    with gate.open("w"):
        ended = second.run("build", tmp_path / "new", tmp_path / "log", numbers=(3, 4))
        assert f"another process (bank build, process {first.child} on " in ended.answer
        assert not (tmp_path / "new").exists()
    assert first.end().answer == "1"
    assert sorted(contents(tmp_path / "new")) == ["id1", "id2"]
    assert "There is a bank at" in second.run("build", tmp_path / "new", tmp_path / "log", numbers=(3, 4)).answer
    assert verify(tmp_path / "new").whole
    assert sorted(one.name for one in tmp_path.iterdir()) == ["gate", "log", "new"]


def test_a_writer_that_was_killed_holds_nobody_up(place: Path, servers: list[Server], gate: Path, tmp_path: Path) -> None:
    first, second = servers
    first.begin("add", place, tmp_path / "log", numbers=(6, 7, 8), gate=str(gate))
    with gate.open("w"):
        first.kill()
        assert first.end().killed
    assert second.run("add", place, tmp_path / "log", numbers=(8, 9)).answer == "2"
    assert sorted(contents(place)) == sorted(f"id{i}" for i in (*range(6), 8, 9))


@pytest.mark.parametrize("turn", range(4))
def test_writers_that_race_double_no_id(place: Path, servers: list[Server], tmp_path: Path, turn: int) -> None:
    numbers = [tuple(range(4 + 4 * i, 12 + 4 * i)) for i in range(2)]  # each has some that nobody else adds
    for one, given in zip(servers, numbers, strict=True):
        one.begin("add", place, tmp_path / "log", numbers=given)
    won = [given for one, given in zip(servers, numbers, strict=True) if one.end().answer.isdigit()]
    assert won
    expected = set(range(6)).union(*won)
    assert sorted(contents(place)) == sorted(f"id{i}" for i in expected)
    assert Bank.open(place).version == 1 + len(won)
    assert verify(place).whole


def test_two_threads_are_two_writers(place: Path) -> None:
    class Blocking(type(counting())):  # an embedder that waits while another thread tries
        def embed_texts(self, texts):
            begun.set()
            assert ended.wait(60)
            return super().embed_texts(texts)

    begun, ended = threading.Event(), threading.Event()
    embedder = Blocking(words().options)
    writer = threading.Thread(target=add, args=(place, items([6, 7]), embedder))
    writer.start()
    try:
        assert begun.wait(60)
        with pytest.raises(BankError, match=f"bank add, process {os.getpid()} on"):
            remove(place, ["id0"])
    finally:
        ended.set()
        writer.join()
    assert len(contents(place)) == 8


def test_a_reader_keeps_its_version_while_others_are_written(place: Path) -> None:
    reader = Bank.open(place)
    query = words().embed_texts(["a red disc 3"])[0]
    before = [(one.key, one.score) for one in reader.search(vector=query, k=6)]
    add(place, items(range(4), "another"), words(), replace=True)
    remove(place, ["id5"])
    compact(place)
    add(place, items(range(6, 9)), words())
    assert (reader.version, len(reader)) == (1, 6)
    assert [(one.key, one.score) for one in reader.search(vector=query, k=6)] == before
    assert [one.text for one in reader.documents(reader.keys.tolist())] == [f"a red disc {i}" for i in range(6)]
    assert len(Bank.open(place)) == 8


def test_readers_never_see_half_of_a_version(place: Path, servers: list[Server], tmp_path: Path) -> None:
    writer, seen, versions = servers[0], set[int](), set[int]()
    remove(place, ["id0", "id1", "id2", "id3", "id4", "id5"])
    writer.begin("rounds", place, tmp_path / "log")
    while not writer.has_ended():
        reader = Bank.open(place)
        documents = reader.documents(reader.keys.tolist())
        texts = [one.text for one in documents]
        rounds = {text.split(" of ")[0] for text in texts}
        assert len(rounds) <= 1
        assert sorted(texts) == sorted(f"{rounds.copy().pop()} of {i}" for i in range(10)) if texts else True
        assert len(reader.keys) == len(set(reader.keys.tolist())) == len({one.id for one in documents})
        if texts:
            np.testing.assert_allclose(reader.vectors(reader.keys, "text"), words().embed_texts(texts), atol=1e-6)
            versions.add(reader.version)
            seen.add(len(texts))
    assert int(writer.end().answer) >= 12
    assert seen == {10}
    assert len(versions) > 1
    assert len(keys(place)) == 10
    assert verify(place).whole
