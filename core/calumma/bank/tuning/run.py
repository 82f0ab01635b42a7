"""Measures every configuration: builds each index once, asks it the way a bank does, and goes round all of them several times.

The speeds of one round are measured one after another and the median over the rounds counts, so that a machine that is busy for
a while slows all alike.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from calumma.bank.bank import Bank
from calumma.bank.indexes import built
from calumma.bank.keeping import KEYS, MANIFEST, Unusable, keep, open_kept
from calumma.bank.progress import progress_bar
from calumma.bank.tuning.grid import Configuration, LeftOut, grid, shown
from calumma.bank.tuning.journal import Journal, key_of
from calumma.bank.tuning.machine import machine, versions
from calumma.bank.tuning.measuring import latency, rate, recalls
from calumma.bank.tuning.questions import Questions, ask
from calumma.bank.tuning.result import Row, Tuning
from calumma.errors import CalummaError, FailedError, InputError
from calumma.interfaces import Component, Retriever, VectorPart

ROUNDS = 5
MEASUREMENTS, INDEXES = "measurements.jsonl", "indexes"


def tune(
    bank: Bank,
    retrievers: Sequence[Retriever],
    out: str | Path,
    *,
    recall: float = 0.95,
    k: int = 10,
    queries: int = 1000,
    by: VectorPart = "document",
    seed: int = 0,
    budget: float | None = None,
    progress: bool | None = None,
) -> Tuning:
    """Measures recall against exact search, and speed, over the parameters of retrievers; the bank itself is left as it is.

    What is measured is kept in `out`/measurements.jsonl; the same call, or one that asks for another recall or more
    retrievers, measures only what is not there yet.

    Args:
        retrievers: as configured, over vectors; what their options declare as `tune` is varied (`calumma.bank.tuning.grid`).
        out: a folder, made where there is none.
        recall: that the choice must reach, above 0 and at most 1. k: hits that are wanted.
        queries: documents of the bank to ask by. by: which of their vectors. seed: that draws them.
        budget: seconds after which nothing more is begun; an index that is being built is finished.
        progress: show a bar on stderr; None asks whether that is a terminal.

    Raises:
        InputError: a number is out of its range, a retriever searches no vectors, or `out` cannot be written.
        FailedError: nothing was measured.
    """
    for what, good in (("recall", 0 < recall <= 1), ("k", k >= 1), ("queries", queries >= 1)):
        if not good:
            raise InputError(
                f"{what} is out of its range.", "Give a recall above 0 and at most 1, a k and queries of at least 1."
            )
    for one in retrievers:
        if not searches_vectors(one):
            raise InputError(
                f"{one.id} does not search by vectors alone.", "Tune retrievers such as hnswlib/hnsw or faiss/index."
            )
    out = Path(out).absolute()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"Cannot write to {out}: {error.strerror}.", "Choose another folder.") from error
    run = _Run(bank, retrievers, out, k, queries, by, seed, budget)
    run.measure(progress)
    rows = run.rows()
    if not rows:
        why = str(run.left_out[0]) if run.left_out else "The budget ended before." if run.stopped else "There is no retriever."
        raise FailedError(f"Nothing was measured. {why}", "Give more --budget, or another --retriever.")
    return Tuning(
        bank=bank.record(),
        wanted=recall,
        k=k,
        queries=run.asked,
        by=by,
        seed=seed,
        rows=rows,
        planned=len(run.jobs),
        stopped=run.stopped,
        left_out=run.left_out,
        machine=run.machine,
        versions=run.versions,
    )


def searches_vectors(retriever: Retriever | type[Component]) -> bool:
    """Whether a retriever, or a class, searches by vectors alone: of others recall against exact search says nothing."""
    facts = (getattr(retriever, "accepts", None), getattr(retriever, "metric", None))
    return facts == (frozenset({"vector"}), "inner product")


@dataclass(eq=False)
class _Job:
    """A configuration with its keys in the journal; `build` is shared by those that search one index differently."""

    configuration: Configuration
    build: str
    key: str

    @property
    def about(self) -> dict[str, Any]:
        return {"retriever": self.configuration.retriever.id, "options": self.configuration.written}


@dataclass(eq=False)
class _Run:
    bank: Bank
    retrievers: Sequence[Retriever]
    out: Path
    k: int
    count: int
    by: VectorPart
    seed: int
    budget: float | None
    left_out: list[LeftOut] = field(default_factory=list)
    stopped: bool = False

    def __post_init__(self) -> None:
        self.begun = time.monotonic()
        self.journal = Journal(self.out / MEASUREMENTS)
        self.machine = machine()
        self._versions: dict[str, dict[str, str]] = {}  # by component id
        self.jobs = self._jobs()
        self._failed: set[str] = set()  # keys of builds and of configurations
        self._sound: set[str] = set()  # keys of builds whose index lies in its place

    @cached_property
    def questions(self) -> Questions:
        return ask(self.bank, self.count, self.by, self.k, self.seed)

    def _jobs(self) -> list[_Job]:
        """Retrievers take turns, index by index, so that a budget that ends early has seen something of each."""
        turns: list[list[list[_Job]]] = []
        for retriever in self.retrievers:
            configurations, left_out = grid(retriever, len(self.bank))
            self.left_out += left_out
            by_build: dict[str, list[_Job]] = {}
            for one in configurations:
                job = self._job(one)
                by_build.setdefault(job.build, []).append(job)
            turns.append(list(by_build.values()))
        groups = (group for turn in zip_longest(*turns, fillvalue=[]) for group in turn)
        return list({job.key: job for job in chain.from_iterable(groups)}.values())

    def _job(self, configuration: Configuration) -> _Job:
        retriever = configuration.retriever
        if retriever.id not in self._versions:
            self._versions[retriever.id] = versions(retriever.id)
        where = {"machine": self.machine, "libraries": self._versions[retriever.id]}
        facts = {"bank": self.bank.info.identity, "version": self.bank.version, **where}
        build = key_of({**facts, "index": retriever.index_key()})
        asked = {"k": self.k, "queries": self.count, "by": self.by, "seed": self.seed}
        options = retriever.options.model_dump(mode="json")
        return _Job(configuration, build, key_of({**facts, **asked, "retriever": retriever.id, "options": options}))

    # --- measuring ---

    def measure(self, progress: bool | None) -> None:
        """All that the journal does not have yet; the indexes are kept in `out` until nothing is left to measure on them."""
        steps = sum(self._missing(job) for job in self.jobs) + len({job.build for job in self.jobs if self._missing(job)})
        if steps:
            with progress_bar(f"Tuning on {self.bank.name}", steps, progress) as advance:
                _ = self.questions
                for round in range(ROUNDS):
                    self._round(round, advance)
        if not self.stopped:
            self._drop_indexes()

    def _missing(self, job: _Job) -> int:
        lacking = not self.journal.all("recall", job.key)
        return lacking + max(0, ROUNDS - len(self.journal.all("round", job.key)))

    def _round(self, round: int, advance: Callable[[int], None]) -> None:
        """Brings every configuration to `round` + 1 measurements of its speed, beginning with another one each time."""
        start = round * len(self.jobs) // ROUNDS
        for job in self.jobs[start:] + self.jobs[:start]:
            if len(self.journal.all("round", job.key)) > round or {job.build, job.key} & self._failed:
                continue
            if self._over():
                return
            if job.build not in self._sound and not self._openable(job):
                self._build(job)
                advance(1)
            if job.build not in self._failed and not self._over():
                self._measured(job, advance)

    def _over(self) -> bool:
        self.stopped = self.stopped or (self.budget is not None and time.monotonic() - self.begun >= self.budget)
        return self.stopped

    def _openable(self, job: _Job) -> bool:
        """Whether the job's index lies in its place, as an earlier run that was stopped leaves it."""
        if self._place(job).is_dir() and self.journal.all("build", job.build):
            with suppress(Unusable), self._open(job):
                self._sound.add(job.build)
        return job.build in self._sound

    def _build(self, job: _Job) -> None:
        place, facts = self._place(job), dict[str, float]()
        with self._failing(job, job.build):
            begun = time.perf_counter()
            index = built(self.bank, job.configuration.retriever, progress=False)
            seconds = time.perf_counter() - begun
            kept = keep(self.bank, index, place)
            index.close()
            if not kept:
                raise InputError(f"its index cannot be written to {place.parent}")
            facts = {"seconds": seconds, "bytes": _bytes(place)}
        if facts:
            self.journal.add("build", job.build, facts, job.about)
            self._sound.add(job.build)

    def _measured(self, job: _Job, advance: Callable[[int], None]) -> None:
        found: dict[str, dict[str, float]] = {}
        with self._failing(job, job.key), self._open(job) as index:
            if not self.journal.all("recall", job.key):
                found["recall"] = recalls(self.bank, index, self.questions)
            found["round"] = {"rate": rate(index, self.questions), "latency": latency(index, self.questions)}
        for what, facts in found.items():
            self.journal.add(what, job.key, facts, job.about)
            advance(1)

    @contextmanager
    def _open(self, job: _Job) -> Iterator[Retriever]:
        index, _ = open_kept(self.bank, job.configuration.retriever, self._place(job), self.bank.version)
        try:
            index.warm_up()
            yield index
        finally:
            index.close()

    @contextmanager
    def _failing(self, job: _Job, key: str) -> Iterator[None]:
        """What an engine cannot do is said of the configuration, and the others go on."""
        try:
            yield
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
            if isinstance(error, (CalummaError, Unusable)):
                said = error.message if isinstance(error, CalummaError) else str(error)
            one = job.configuration
            options = one.written if key == job.key else one.built
            self.left_out.append(LeftOut(one.retriever.id, shown(options), f"{said.rstrip('.')}."))
            self._failed.add(key)

    def _place(self, job: _Job) -> Path:
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", job.configuration.retriever.id)
        return self.out / INDEXES / f"{name}-{job.build}"

    def _drop_indexes(self) -> None:
        for job in self.jobs:
            if self._place(job).is_dir():
                type(job.configuration.retriever).drop(self._place(job))
        shutil.rmtree(self.out / INDEXES, ignore_errors=True)

    # --- what came of it ---

    def rows(self) -> list[Row]:
        """Of the configurations of which all is known, the fastest first."""
        found = [row for job in self.jobs if (row := self._row(job)) is not None]
        return sorted(found, key=lambda row: (-row.rate, -row.recall))

    @property
    def versions(self) -> dict[str, str]:
        """Of all libraries that were used."""
        return dict(sorted({name: one for found in self._versions.values() for name, one in found.items()}.items()))

    @property
    def asked(self) -> int:
        """How many queries there were: fewer than wanted where the bank has fewer."""
        found = (one for job in self.jobs for one in self.journal.all("recall", job.key))
        return next((int(one["queries"]) for one in found), 0)

    def _row(self, job: _Job) -> Row | None:
        build, recall = self.journal.all("build", job.build), self.journal.all("recall", job.key)
        rounds = self.journal.all("round", job.key)
        if not (build and recall and rounds):
            return None
        return Row(
            retriever=job.configuration.retriever.id,
            options=job.configuration.written,
            recall=recall[-1]["recall"],
            at_least=recall[-1]["at_least"],
            alone=recall[-1]["alone"],
            rate=_median(rounds, "rate"),
            latency=_median(rounds, "latency"),
            build_seconds=build[-1]["seconds"],
            index_bytes=int(build[-1]["bytes"]),
            rounds=len(rounds),
        )


def _median(rounds: Sequence[Mapping[str, float]], name: str) -> float:
    return float(np.median([one[name] for one in rounds]))


def _bytes(place: Path) -> int:
    """Of an index on disk, without what the bank lays beside it."""
    return sum(path.stat().st_size for path in place.rglob("*") if path.is_file() and path.name not in (MANIFEST, KEYS))
