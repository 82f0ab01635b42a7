"""Changes of a bank in a process of their own, which may be killed: `python -m tests.bank.killing` forks one for each job.

It has imported all that a change needs, and Lance has started no threads yet, so that a child is ready at once. Jobs are lines
of JSON on stdin; on stdout come the child's process id when it begins, and when it has ended whether it was killed.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import filelock
import lance
import pyarrow

from calumma.bank import Bank, add, build, remove
from calumma.bank.writing import changes, rows
from calumma.bank.writing.compact import compact
from calumma.interfaces import Vectors

from .conftest import Words, WordsOptions
from .samples import Listed, item, items

IMPORTED = (filelock, lance, lance.file, lance.fragment, pyarrow)  # our code imports them when it needs them
ROOT = Path(__file__).parents[2]
BASE, LINES_OF = range(0, 12), "calumma/bank"
NEW = range(8, 40)
BATCH = 4
VERBS = ("build", "overwrite", "add", "upsert", "remove", "compact")


@dataclass(frozen=True)
class Job:
    """A change of a bank at `place`, as JSON has it.

    Attributes:
        log: a file for how many texts were embedded; it outlives the embedder. numbers: of the documents; None for `NEW`.
        gate: a FIFO that the embedder waits at, until whoever opened it for writing has closed it.
        at_line: of our code, where the process kills itself. count: count these lines.
    """

    verb: str
    place: str
    log: str
    numbers: tuple[int, ...] | None = None
    gate: str = ""
    at_line: int = 0
    count: bool = False
    cache: str = ""


class Logged(Words):
    """Words that writes down how many texts it has embedded, and waits at the gate."""

    def __init__(self, job: Job) -> None:
        super().__init__(WordsOptions())
        self.id, self.job = "tests/words", job

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        if self.job.gate:
            Path(self.job.gate).read_bytes()
        found = super().embed_texts(texts)
        with open(self.job.log, "a") as file:
            file.write(f"{len(texts)}\n")
        return found


def embedded(log: Path) -> int:
    """How many texts were embedded by all processes together."""
    return sum(map(int, log.read_text().split())) if log.exists() else 0


def changed(job: Job) -> object:
    """Does the change."""
    place, embedder, verb = Path(job.place), Logged(job), job.verb
    source = Listed(items(NEW if job.numbers is None else job.numbers))
    if verb == "build":
        return build(source, place, embedder, batch=BATCH).version
    if verb == "overwrite":
        return build(source, place, embedder, batch=BATCH, overwrite=True).version
    if verb == "add":
        return add(place, source, embedder, batch=BATCH).version
    if verb == "upsert":
        some = [item(number, "another") if number % 3 == 0 else item(number) for number in range(4, 40)]
        return add(place, Listed(some), embedder, replace=True, batch=BATCH).version
    if verb == "remove":
        return remove(place, [f"id{number}" for number in (1, 2, 9, 10)], missing_ok=True)
    if verb == "rounds":
        return rounds(place, embedder)
    return compact(place, keep_days=0).version


def rounds(place: Path, embedder: Logged) -> int:
    """Many versions, each with ten documents of one round, whose text says which; and some that remove or compact."""
    for number in range(10):
        add(place, items(range(10), f"round {number} of"), embedder, replace=True, batch=BATCH)
        if number % 3 == 2:
            compact(place)
    return Bank.open(place).version


@dataclass(frozen=True)
class Ended:
    """How a job ended: `killed`, or what the change returned or raised. `lines` of our code ran, where they were counted."""

    killed: bool
    answer: str = ""
    lines: int = 0


class Server:
    """The process that forks, seen from a test."""

    def __init__(self) -> None:
        command = [sys.executable, "-W", "ignore", "-m", "tests.bank.killing"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, bufsize=0
        )  # unbuffered, so that nothing is read ahead and `select` sees all

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()

    def begin(self, verb: str, place: Path, log: Path, **more: Any) -> None:
        """Begins a change in a process of its own; `more` are attributes of its `Job`."""
        job = Job(verb, str(place), str(log), cache=os.environ["CALUMMA_CACHE"], **more)
        self._process.stdin.write(json.dumps(asdict(job)).encode() + b"\n")
        self.child = int(self._line())

    def has_ended(self, within: float = 0) -> bool:
        """Whether the change ends within so many seconds."""
        return bool(select.select([self._process.stdout], [], [], within)[0])

    def kill(self) -> None:
        os.kill(self.child, signal.SIGKILL)

    def end(self) -> Ended:
        """Waits until the change has ended."""
        return Ended(**json.loads(self._line()))

    def run(self, verb: str, place: Path, log: Path, after: float | None = None, **more: Any) -> Ended:
        """Runs a change to its end, or kills it after so many seconds."""
        self.begin(verb, place, log, **more)
        if after is not None and not self.has_ended(after):
            self.kill()
        return self.end()

    def _line(self) -> bytes:
        line = self._process.stdout.readline()
        assert line, "the process that forks has ended"
        return line


def main() -> None:
    """Serves jobs until stdin ends."""
    child = 0
    for line in sys.stdin:
        if child:
            os.waitpid(child, 0)  # only now, so that no other process has its number while it may be killed
        job = Job(**json.loads(line))
        answers, answer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(answers)
            _child(job, answer)
        os.close(answer)
        print(child, flush=True)
        with os.fdopen(answers) as file:
            told = file.read()
        ended = os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        print(json.dumps({"killed": True} if ended.si_status == signal.SIGKILL else json.loads(told)), flush=True)


def _child(job: Job, answer: int) -> None:
    os.environ["CALUMMA_CACHE"] = job.cache
    rows.WINDOW, rows.AHEAD, changes.FRAGMENT_ROWS = 6, 3, 10
    counted = _counting(job.at_line) if job.at_line or job.count else lambda: 0
    try:
        told = str(changed(job))
    except BaseException as error:
        told = f"{type(error).__name__}: {error}"
    lines = counted()
    os.write(answer, json.dumps({"killed": False, "answer": told, "lines": lines}).encode())
    os._exit(0)


def _counting(at_line: int) -> Callable[[], int]:
    """Counts the lines of our code that this thread runs; at the one that is named the process kills itself."""
    ran = 0

    def local(frame: FrameType, event: str, arg: object) -> Any:
        nonlocal ran
        if event == "line":
            ran += 1
            if ran == at_line:
                os.kill(os.getpid(), signal.SIGKILL)
        return local

    sys.settrace(lambda frame, event, arg: local if LINES_OF in frame.f_code.co_filename else None)

    def ended() -> int:
        sys.settrace(None)
        return ran

    return ended


if __name__ == "__main__":
    main()
