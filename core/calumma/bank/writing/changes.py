"""What changes a bank: build, add, upsert, remove. Each is one commit of Lance; before it, readers see nothing of it."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Sequence, Sized
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calumma.bank.embedder import check_embedder, embedder_of
from calumma.bank.indexes import FOLDER as INDEXES
from calumma.bank.opening import is_bank, open_dataset
from calumma.bank.progress import progress_bar
from calumma.bank.schema import BankInfo, EmbedderRecord, require, schema
from calumma.bank.sources.source import Item, Skipped, Source
from calumma.bank.writing import checksums
from calumma.bank.writing.commit import commit_new, commit_rows, commit_without, fragment_files, is_committed, write_fragments
from calumma.bank.writing.embedding import table_of
from calumma.bank.writing.forgetting import go_on_forgetting
from calumma.bank.writing.journal import FOLDER, Change, Journal, Verb, discard, has_work, pending_change
from calumma.bank.writing.known import KnownIds
from calumma.bank.writing.lock import forget_lock, writer_lock
from calumma.bank.writing.memory import give_back
from calumma.bank.writing.report import Report, SkippedList
from calumma.bank.writing.rows import Incoming, Row, batches
from calumma.errors import BankError
from calumma.interfaces import Embedder, Vectors

if TYPE_CHECKING:
    import pyarrow

    Embedded = tuple[pyarrow.Table, Vectors, Vectors]
Items = Iterable[Item | Skipped]
FRAGMENT_ROWS, FRAGMENT_BYTES = 16_384, 2**28
BATCHES_TO_TRIM = 8
REPORTS = "_reports"


def build(
    source: Items,
    out: str | Path,
    embedder: Embedder,
    *,
    overwrite: bool = False,
    strict: bool = False,
    discard_pending: bool = False,
    batch: int = 64,
    progress: bool | None = None,
) -> Report:
    """Writes a bank of a source's documents, embedded by an embedder that is warm.

    Interrupted, it leaves what it has done beside `out`; the same call goes on there.

    Args:
        source: such as `open_source(path)`, or any iterable of items.
        overwrite: of a bank that is there: its next version has these documents and no others; anything else that is there
            is never touched.
        strict: raise at the first document that cannot be used, instead of leaving it out.
        discard_pending: begin anew, whatever an interrupted call has done.
        batch: documents that are embedded at once.
        progress: show a bar on stderr; None asks whether that is a terminal.

    Raises:
        BankError: `out` exists or cannot be written, another process writes to it, or not one document could be used.
        ComponentError: the extra `bank` is not installed.
    """
    out = Path(out).expanduser().absolute()
    check_place(out, overwrite)
    require("lance")
    with new_version(out, discard_pending) as (place, base, pending):
        identity = uuid.uuid4().hex if pending is None else pending.identity
        change = Change.new("build", _name(source), embedder.fingerprint(), base, identity)
        info = BankInfo(identity, now(), embedder.dimension, EmbedderRecord.of(embedder), Path(change.source).name)
        with journal_of(place, change, pending) as journal:
            skipped = SkippedList(place / FOLDER / "skipped.jsonl")
            incoming = Incoming(source, skipped, journal, embedder.prepare_image, strict=strict)
            embed(incoming, place, info, embedder, batch, progress, f"Embedding into {out.name}", fresh=True)
            version = commit_new(place, journal, schema(info), skipped.first_said)
            report = _report(incoming, journal, place, version)
    return report.moved(place, out)


def add(
    bank: str | Path,
    source: Items,
    embedder: Embedder | None = None,
    *,
    replace: bool = False,
    strict: bool = False,
    discard_pending: bool = False,
    batch: int = 64,
    progress: bool | None = None,
) -> Report:
    """Adds a source's documents to a bank as one new version; those that it has already are left as they are.

    Interrupted, it leaves what it has embedded in the bank's folder, where no reader sees it; the same call goes on there.

    Args:
        embedder: that the bank was made with, warm; None builds it.
        replace: a document with the id of another takes its place where its content differs (upsert).
        strict, discard_pending, batch, progress: as for `build`.

    Raises:
        BankError: there is no bank, another process writes to it, or another change of it was interrupted.
        MismatchError: the embedder is not the bank's.
    """
    path = Path(bank).expanduser().absolute()
    info = BankInfo.load(open_dataset(path, None).schema.metadata, path)
    if embedder is None:
        embedder = embedder_of(info.embedder)
    check_embedder(path, info.embedder, embedder)
    verb: Verb = "upsert" if replace else "add"
    with changing(path, verb):
        base = _begun(path, discard_pending)
        pending = _pending(path, discard_pending)
        change = Change.new(verb, _name(source), embedder.fingerprint(), base, info.identity)
        with journal_of(path, change, pending) as journal:
            skipped = SkippedList(path / FOLDER / "skipped.jsonl")
            known = KnownIds(open_dataset(path, None))
            incoming = Incoming(source, skipped, journal, embedder.prepare_image, known, replace, strict)
            embed(incoming, path, info, embedder, batch, progress, f"Adding to {path.name}", fresh=False)
            version = commit_rows(path, journal, incoming.replaced)
            report = _report(incoming, journal, path, version)
            journal.finish()
        recovered(path)
    return report


def remove(bank: str | Path, ids: Sequence[str], *, missing_ok: bool = False) -> int:
    """Removes documents by their ids as one new version, and gives how many; older versions keep them until `compact`.

    Raises BankError: there is no bank, another process writes to it, or it has no such id (unless `missing_ok`).
    """
    path = Path(bank).expanduser().absolute()
    open_dataset(path, None)
    with changing(path, "remove"):
        _begun(path, False)
        dataset = open_dataset(path, None)
        asked = list(dict.fromkeys(ids))
        known = KnownIds(dataset).find(asked)
        lacking = [one for one in asked if one not in known]
        if lacking and not missing_ok:
            raise BankError(
                f"The bank {path.name} has no document {lacking[0]!r}{f' and {len(lacking) - 1} others' * (len(lacking) > 1)}.",
                "See `calumma bank search`, or give --missing-ok.",
            )
        if known:
            commit_without(path, dataset, [one.key for one in known.values()])
    return len(known)


def check_place(out: str | Path, overwrite: bool) -> None:
    """Raises BankError where `build` would refuse to write, before anything is loaded."""
    out = Path(out)
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not is_bank(out):
        raise BankError(f"{out} is there already, and is not a bank.", "Choose another name.")
    if out.is_symlink():
        raise BankError(f"{out} is a link to a bank.", f"Choose another name, or name the bank itself: {out.resolve()}.")
    if not overwrite:
        raise BankError(f"There is a bank at {out} already.", "Choose another name, or give --overwrite.")


def recovered(bank: Path) -> None:
    """Ends what a writer that was killed could not end: records what it committed. Only under the writer's lock."""
    change = pending_change(bank)
    if change is not None and (not has_work(bank) or is_committed(bank, change)):
        discard(bank)
    _record(bank)


def _record(bank: Path) -> None:
    """Checksums of files that have none yet, and Lance's note of the newest version, as a killed writer did not write them."""
    go_on_forgetting(bank)
    known = checksums.recorded(bank)
    rest = [file for file in checksums.files_of(bank) if file not in known]
    if known and any(file.startswith("_versions/") for file in rest):
        checksums.mend_hint(bank, int(open_dataset(bank, None).version))
    checksums.record_files(bank, f"rest-{uuid.uuid4().hex}", rest)


@contextmanager
def new_version(out: Path, discard_pending: bool) -> Iterator[tuple[Path, int, Change | None]]:
    """Where the next version of a bank is written, or the first one of a new bank, which is moved to its place at the end.

    Gives the folder, the version that it follows on (0 for a new bank), and the change that was interrupted there.
    """
    there = is_bank(out)
    place = out if there else out.parent / f".{out.name}.building"
    with changing(place, "build"), _swept(place, there):
        base = _begun(place, discard_pending) if there else 0
        yield place, base, _pending(place, discard_pending)
        _record(place)
        if not there:
            _move(place, out)
        discard(out)  # last: killed before, the same call goes on with what is in the journal


@contextmanager
def _swept(place: Path, there: bool) -> Iterator[None]:
    """Leaves no folder behind where a new bank came to nothing and nothing is to go on with."""
    try:
        yield
    except BaseException:
        if not there and not has_work(place):
            shutil.rmtree(place, ignore_errors=True)
        raise


@contextmanager
def changing(folder: Path, what: str) -> Iterator[None]:
    """The lock of a bank's folder, and errors of the file system as sentences."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _check_links(folder)
        with writer_lock(folder, f"bank {what}"):
            yield
    except checksums.DamagedRecord as error:
        raise BankError(f"The bank {folder} is damaged: {error}.", "See `calumma bank verify`.") from error
    except OSError as error:
        raise BankError(f"Cannot write the bank {folder}: {error}.", "Choose another place, or make room.") from error


def _check_links(folder: Path) -> None:
    """A bank of somebody else may not say where we write."""
    for one in folder.iterdir():
        if one.is_symlink() and one.name not in (FOLDER, INDEXES):  # these are never followed
            raise BankError(f"{one} is a link to somewhere else.", "Get the whole bank, or build it again.")


def _begun(path: Path, discard_pending: bool) -> int:
    """The version that a change begins from."""
    if discard_pending:
        discard(path)
    recovered(path)
    return int(open_dataset(path, None).version)


def _pending(path: Path, discard_pending: bool) -> Change | None:
    if discard_pending:
        discard(path)
    pending = pending_change(path)
    if pending is not None and not has_work(path):
        discard(path)
        return None
    return pending


def journal_of(path: Path, change: Change, pending: Change | None) -> Journal:
    """Of the change, or of the one that it goes on with."""
    if pending is not None and not pending.same(change):
        by = "" if pending.embedder == change.embedder else f" by {pending.embedder}"
        raise BankError(
            f"`bank {pending.verb}` of {pending.source or 'another source'}{by} was interrupted in {path}.",
            "Run it again to go on with it, or give it up with --discard.",
        )
    return Journal(path, pending or change)


def embed(
    incoming: Incoming,
    path: Path,
    info: BankInfo,
    embedder: Embedder,
    batch: int,
    progress: bool | None,
    what: str,
    fresh: bool,
) -> None:
    """Embeds what comes and writes it as fragments, each noted in the journal as soon as it is whole."""
    pa = require("pyarrow")
    source, journal = incoming.source, incoming.journal
    total = source.count() if isinstance(source, Source) else len(source) if isinstance(source, Sized) else None
    key, read = journal.next_key(), 0
    tables, rows, size = list[Any](), list[Row](), 0
    with progress_bar(what, total, progress) as advance:

        def flush() -> None:
            nonlocal tables, rows, size
            if rows:
                _write(path, pa.concat_tables(tables), rows, key - len(rows), journal, fresh)
                incoming.written(rows)
            tables, rows, size = [], [], 0

        for number, (group, table) in enumerate(_embedded(batches(incoming, batch), journal, info, embedder)):
            tables.append(table)
            key += len(group)
            size += table.nbytes
            rows += [row.without_picture() for row in group]
            advance(incoming.read - read)
            read = incoming.read
            if number % BATCHES_TO_TRIM == BATCHES_TO_TRIM - 1:
                give_back()
            if len(rows) >= FRAGMENT_ROWS or size >= FRAGMENT_BYTES:
                flush()
        flush()
        advance(incoming.read - read)


def _embedded(
    groups: Iterator[list[Row]], journal: Journal, info: BankInfo, embedder: Embedder
) -> Iterator[tuple[list[Row], pyarrow.Table]]:
    """Groups and their tables. One is embedded by a thread while the one before is written and the next is read.

    Each is in the journal before the next begins: a process that is killed loses one batch. Where the groups fail or are
    interrupted, the one that is being embedded is given first: nothing is embedded for nothing.
    """
    key = journal.next_key()
    with ThreadPoolExecutor(1, thread_name_prefix="embed") as pool:
        running: tuple[list[Row], Future[Embedded]] | None = None
        failure: BaseException | None = None
        while True:
            try:
                group = next(groups, None)
            except BaseException as error:
                group, failure = None, error
            done = None
            if running is not None:
                table, texts, images = running[1].result()
                journal.stash([row.noted(key + i) for i, row in enumerate(running[0])], texts, images)
                done, key = (running[0], table), key + len(running[0])
            running = None if group is None else (group, pool.submit(table_of, group, key, info, embedder))
            if done is not None:
                yield done
            if running is None:
                break
    if failure is not None:
        raise failure


def _write(path: Path, table: Any, rows: Sequence[Row], key: int, journal: Journal, fresh: bool) -> None:
    """Writes a table into the bank's folder, where it is part of no version yet, and notes it in the journal."""
    fragments = [
        (json.dumps(one.to_json()), {file: checksums.checksum_of(path / file) for file in fragment_files(one)})
        for one in write_fragments(path, table, fresh)
    ]
    journal.write(fragments, [row.noted(key + i) for i, row in enumerate(rows)])


def _report(incoming: Incoming, journal: Journal, path: Path, version: int) -> Report:
    skipped = incoming.skipped
    kept = journal.kept()
    return Report(
        read=incoming.read,
        kept=kept + incoming.there,
        skipped=list(skipped),
        reasons=skipped.reasons,
        embedded=kept - incoming.resumed,
        resumed=incoming.resumed,
        there=incoming.there,
        replaced=len(incoming.replaced),
        listed=skipped.move_to(path / REPORTS, f"{journal.change.verb}-v{version}.jsonl"),
        version=version,
    )


def _move(place: Path, out: Path) -> None:
    if out.exists():
        out.rmdir()  # check_place saw that it is empty
    forget_lock(place)
    os.rename(place, out)


def _name(source: Items) -> str:
    return source.name if isinstance(source, Source) else ""


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
