"""Builds a bank by several processes: each embeds whole shards and writes fragments, and one commit joins them.

Ray Data schedules the shards, on this machine or on the cluster that RAY_ADDRESS names; there the bank's folder and the source
must lie on a file system that all machines share.
"""

from __future__ import annotations

import json
import logging
import os
import pickle
import tempfile
import uuid
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calumma.bank.embedder import embedder_of
from calumma.bank.progress import progress_bar
from calumma.bank.schema import BankInfo, EmbedderRecord, schema
from calumma.bank.sources.source import Skipped, Source
from calumma.bank.writing import changes
from calumma.bank.writing.checksums import Checksum
from calumma.bank.writing.commit import commit_new
from calumma.bank.writing.journal import FOLDER, Change, Journal, Noted
from calumma.bank.writing.report import Report, SkippedList
from calumma.bank.writing.rows import Incoming
from calumma.errors import BankError, CalummaError, ComponentError
from calumma.interfaces import Embedder

if TYPE_CHECKING:
    from types import ModuleType

SHARD_KEYS = 2**24  # row keys that a shard may use


@dataclass(frozen=True)
class Plan:
    """What every worker is told.

    Attributes:
        place: where fragments are written. info: of the bank to be.
        change: whose first key the shards count from. threads: of torch, in each worker.
    """

    place: str
    info: BankInfo
    change: Change
    device: str
    strict: bool
    batch: int
    threads: int


@dataclass(frozen=True)
class Done:
    """What became of one shard, in plain values that travel as JSON."""

    number: int
    read: int
    fragments: list[tuple[str, dict[str, tuple[int, str]]]]
    rows: list[tuple[str, str, str, int]]  # id, name, content in hex, key
    skipped: list[tuple[str, str]]
    error: tuple[str, str, str] | None = None


def build_in_parallel(
    source: Source,
    out: str | Path,
    embedder: Embedder,
    workers: int,
    *,
    device: str = "cpu",
    overwrite: bool = False,
    strict: bool = False,
    discard_pending: bool = False,
    batch: int = 64,
    progress: bool | None = None,
) -> Report:
    """As `build`, by so many processes; the embedder is built again in each of them, from its id and options.

    Row keys follow the order of the source, with gaps between shards. Interrupted, the same call goes on with the shards that
    are not done.

    Raises:
        BankError: as `build`. ComponentError: the extra `ray` is not installed, or the embedder has no id.
    """
    ray = _ray()
    out = Path(out).expanduser().absolute()
    changes.check_place(out, overwrite)
    record = EmbedderRecord.of(embedder)
    if not record.id:
        raise ComponentError("Workers cannot build an embedder that has no id.", "Offer it as a plugin's component.")
    shards = source.shards()
    name = f"{source.name} in {len(shards)} shards"
    with changes.new_version(out, discard_pending) as (place, base, pending):
        identity = uuid.uuid4().hex if pending is None else pending.identity
        change = Change.new("build", name, record.fingerprint, base, identity)
        info = BankInfo(identity, changes.now(), embedder.dimension, record, Path(source.name).name)
        with changes.journal_of(place, change, pending) as journal:
            skipped = SkippedList(place / FOLDER / "skipped.jsonl")
            resumed = journal.meet_all()
            threads = max(1, (os.cpu_count() or 1) // workers)
            plan = Plan(str(place), info, journal.change, device, strict, batch, threads)
            finished = journal.shards()
            waiting = {number: shard for number, shard in enumerate(shards) if number not in finished}
            read = 0
            with progress_bar(f"Embedding into {out.name}", source.count(), progress) as advance, _started(ray):
                for done in _run(ray, plan, waiting, min(workers, max(1, len(waiting)))):
                    _note(journal, done, skipped)
                    read += done.read
                    advance(done.read)
            version = commit_new(place, journal, schema(info), skipped.first_said)
            kept = journal.kept()
            report = Report(
                read=read + resumed,
                kept=kept,
                skipped=list(skipped),
                reasons=skipped.reasons,
                embedded=kept - resumed,
                resumed=resumed,
                listed=skipped.move_to(place / changes.REPORTS, f"build-v{version}.jsonl"),
                version=version,
            )
    return report.moved(place, out)


class ShardEmbedder:
    """One worker: an embedder that is warm, and shards one after another."""

    def __init__(self, plan: Plan) -> None:
        import torch

        torch.set_num_threads(plan.threads)
        self.plan = plan
        self.embedder = embedder_of(plan.info.embedder, device=plan.device)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """{"number", "source"} to {"done"}, a `Done` as JSON. Errors go along, since Ray would wrap their sentences."""
        number = int(row["number"])
        try:
            done = self.embed(number, pickle.loads(row["source"]))  # what the process that started this one has pickled
        except CalummaError as error:
            done = Done(number, 0, [], [], [], (type(error).__name__, error.message, error.fix))
        return {"done": json.dumps(asdict(done))}

    def embed(self, number: int, source: Source) -> Done:
        """Embeds a shard and writes its fragments; nothing of it is committed."""
        plan, place = self.plan, Path(self.plan.place)
        first = plan.change.first_key + number * SHARD_KEYS
        with (
            tempfile.TemporaryDirectory(prefix="calumma-shard-") as folder,
            Journal(Path(folder), plan.change, first_key=first) as journal,
        ):
            skipped = SkippedList(Path(folder) / "skipped.jsonl")
            incoming = Incoming(source, skipped, journal, self.embedder.prepare_image, strict=plan.strict, workers=1)
            changes.embed(incoming, place, plan.info, self.embedder, plan.batch, False, "", fresh=True)
            if journal.next_key() > first + SHARD_KEYS:
                raise BankError(f"A shard holds more than {SHARD_KEYS:,} documents.", "Split the source further.")
            fragments = [
                (json.dumps(one), {file: (sum.size, sum.sha256) for file, sum in files.items()})
                for one, files in journal.fragments()
            ]
            rows = [(one.id, one.name, one.content.hex(), one.key) for one in journal.rows()]
            left_out = [(one.name, one.reason) for one in skipped.all()]
        return Done(number, incoming.read, fragments, rows, left_out)


def _run(ray: ModuleType, plan: Plan, waiting: Mapping[int, Source], workers: int) -> Iterator[Done]:
    """The shards, by number, in their order, as they are done."""
    if not waiting:
        return
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    gpus = {"num_gpus": 1} if plan.device.startswith("cuda") else {}
    rows = [{"number": number, "source": pickle.dumps(shard)} for number, shard in waiting.items()]
    shards = ray.data.from_items(rows, override_num_blocks=len(rows))
    done = shards.map(
        ShardEmbedder, fn_constructor_args=(plan,), compute=ray.data.ActorPoolStrategy(size=workers), num_cpus=1, **gpus
    )
    for row in done.iter_rows():
        told = Done(**json.loads(row["done"]))
        if told.error is not None:
            _, message, fix = told.error
            raise BankError(message, fix)
        yield told


def _note(journal: Journal, done: Done, skipped: SkippedList) -> None:
    """Notes a shard; of documents that an earlier shard has too, the rows are dropped when the bank is committed."""
    rows = []
    for id, name, content, key in done.rows:
        before = journal.find(id)
        if before is None:
            rows.append(Noted(id, name, bytes.fromhex(content), key))
        else:
            skipped.append(Skipped(name, f"duplicate: of {before[0].name}"))
    skipped.extend([Skipped(*one) for one in done.skipped])
    sums = [(one, {file: Checksum(*sum) for file, sum in files.items()}) for one, files in done.fragments]
    journal.write(sums, rows, shard=done.number)


def _ray() -> ModuleType:
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ComponentError(
            "Several workers need Ray, which is not installed.", 'Install it: pip install "calumma[ray]"'
        ) from error
    module: ModuleType = ray
    return module


@contextmanager
def _started(ray: ModuleType) -> Iterator[None]:
    """Ray, which is stopped afterwards unless it ran before."""
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # what fails is told by the exceptions
    if ray.is_initialized():
        yield
        return
    local: dict[str, Any] = {} if os.environ.get("RAY_ADDRESS") else {"include_dashboard": False}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "lance is not fork-safe")  # Ray only forks to start other programs
        ray.init(log_to_driver=False, logging_level="ERROR", **local)
    try:
        yield
    finally:
        ray.shutdown()
