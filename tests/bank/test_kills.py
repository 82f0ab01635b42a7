"""A writer killed (`kill -9`) at any moment: the bank is as before or as after, whole, and the same call completes it."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from calumma.bank import Bank, add, build, remove
from calumma.bank.verify import verify

from .conftest import words
from .killing import BASE, BATCH, VERBS, Server, embedded
from .samples import contents, items

TRIALS = 17  # of each verb and each way to kill: 204


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    one = Server()
    yield one
    one.close()


@dataclass(frozen=True)
class Case:
    """A verb, the bank that it starts from, and what it comes to when nothing interrupts it."""

    verb: str
    start: Path
    before: dict[str, Any]
    after: dict[str, Any]
    version: int
    texts: int
    seconds: float
    lines: int


@pytest.fixture
def case(verb: str, server: Server, tmp_path: Path) -> Case:
    start, whole, log = tmp_path / "start", tmp_path / "whole", tmp_path / "log"
    if verb != "build":
        build(items(BASE), start, words())
        add(start, items(range(20, 24)), words())
        remove(start, ["id3", "id21"])
    seconds = lines = 0.0
    for count in (True, False, False):
        shutil.rmtree(whole, ignore_errors=True)
        if start.exists():
            shutil.copytree(start, whole)
        log.unlink(missing_ok=True)
        begun = time.perf_counter()
        ended = server.run(verb, whole, log, count=count)
        assert ended.answer.isdigit(), ended
        seconds, lines = time.perf_counter() - begun, max(lines, ended.lines)
    before = contents(start) if start.exists() else {}
    version = Bank.open(start).version if start.exists() else 0
    return Case(verb, start, before, contents(whole), version, embedded(log), seconds, int(lines))


def trial(case: Case, server: Server, place: Path, **when: Any) -> bool:
    """Kills one change, looks at what is left, lets the same change complete it; gives whether it was killed in time."""
    log = place.with_suffix(".log")
    log.unlink(missing_ok=True)
    if case.start.exists():
        shutil.copytree(case.start, place)
    killed = server.run(case.verb, place, log, **when).killed
    if place.exists():
        found = contents(place)
        assert found in (case.before, case.after)
        newest = Bank.open(place).version
        assert newest - case.version in ((0, 1, 2) if case.verb == "compact" else (0, 1))
        assert (found == case.after) == (newest > case.version) or case.verb == "compact"
        assert verify(place).damage == []
        if case.verb != "compact" and case.before:
            assert contents(place, case.version) == case.before
    again = server.run(case.verb, place, log)
    done = case.verb == "build" and "There is a bank at" in again.answer
    assert again.answer.isdigit() or done, again
    assert contents(place) == case.after
    verdict = verify(place)
    assert (verdict.damage, verdict.unrecorded) == ([], []) or done
    more = case.texts if case.verb == "overwrite" and found == case.after else 0  # it was complete, and is done once more
    assert embedded(log) <= case.texts + BATCH + more
    assert [one.name for one in place.parent.iterdir() if one.name.startswith(f".{place.name}")] == []
    assert not (place / "_pending").exists() or done
    assert remove(place, ["id8"], missing_ok=True) == ("id8" in case.after)
    assert verify(place).whole
    shutil.rmtree(place)
    return killed


def trials(case: Case, server: Server, folder: Path, way: str, count: int, seed: int) -> None:
    """Kills as often, at moments that are spread over the whole change; one that had ended before is killed earlier."""
    chosen = random.Random(f"{case.verb} {way} {seed}")
    for number in range(count):
        share = (number + chosen.random()) / count
        when = {"at_line": 1 + int(share * case.lines)} if way == "line" else {"after": share * case.seconds}
        try:
            while not trial(case, server, folder / f"bank{number}", **when):
                assert way == "time"
                when["after"] /= 2
        except BaseException as error:
            error.add_note(f"killed by {way}, number {number} of {count}: {when}")
            raise


@pytest.mark.parametrize("verb", VERBS)
def test_a_killed_writer_leaves_a_whole_bank_and_the_same_call_completes_it(case: Case, server: Server, tmp_path: Path) -> None:
    trials(case, server, tmp_path, "line", 2, seed=1)
    trials(case, server, tmp_path, "time", 1, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["line", "time"])
@pytest.mark.parametrize("verb", VERBS)
def test_200_killed_writers_leave_whole_banks(case: Case, server: Server, tmp_path: Path, way: str) -> None:
    trials(case, server, tmp_path, way, TRIALS, seed=2)
