"""Is every byte of a bank what was written? Checksums of all its files, its rows, and its indexes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from calumma.bank.indexes import FOLDER as INDEXES
from calumma.bank.keeping import damaged_files
from calumma.bank.opening import open_dataset, reading
from calumma.bank.progress import progress_bar
from calumma.bank.schema import BankInfo, check_columns
from calumma.bank.writing import checksums
from calumma.bank.writing.changes import recovered
from calumma.bank.writing.lock import writer_lock
from calumma.errors import BankError
from calumma.files import read_text

_BLOCK = 65_536


@dataclass(frozen=True)
class Verdict:
    """What `verify` found.

    Attributes:
        version: that was looked at. documents: in it.
        files: how many were read and compared with their checksums.
        damage: a sentence for each thing that is wrong; empty where the bank is whole.
        unrecorded: files without a checksum (of a bank that an older Calumma wrote), of which only the form was checked.
    """

    version: int
    documents: int
    files: int
    damage: list[str] = field(default_factory=list)
    unrecorded: list[str] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong."""
        return not self.damage


def verify(bank: str | Path, version: int | None = None, progress: bool | None = None) -> Verdict:
    """Reads everything. Raises BankError only where there is no bank at all; damage is in the verdict.

    Args:
        version: whose rows are read; None for the newest. The files of all versions are compared.
    """
    path = Path(bank).expanduser().absolute()
    if not (path / "_versions").is_dir():
        raise BankError(f"There is no bank at {path}.", "Build one: calumma bank build SOURCE --out BANK")
    with suppress(BankError, OSError, checksums.DamagedRecord):
        if _was_killed(path):
            with writer_lock(path, "bank verify"):
                recovered(path)
    damage: list[str] = []
    files, unrecorded = _compare(path, damage, progress)
    documents = number = 0
    try:
        dataset = open_dataset(path, version)
        number = int(dataset.version)
        documents = _check_rows(path, dataset, damage)
    except BankError as error:
        damage.append(error.message)
    _check_hint(path, damage)
    for place in sorted((path / INDEXES).glob("*")) if not (path / INDEXES).is_symlink() else ():
        if place.is_dir() and not place.name.startswith("."):
            damage += [f"The index {place.name} is damaged: {name}." for name in damaged_files(place)]
    return Verdict(number, documents, files, damage, unrecorded)


def _was_killed(path: Path) -> bool:
    """Whether a writer that keeps checksums could not record all that it committed."""
    known = checksums.recorded(path)  # none: an older Calumma wrote it, and nobody knows what its files were
    return bool(known) and any(file not in known for file in checksums.files_of(path))


def _compare(path: Path, damage: list[str], progress: bool | None) -> tuple[int, list[str]]:
    """Compares every file with its checksum; gives how many, and those that have none."""
    try:
        known = checksums.recorded(path)
    except checksums.DamagedRecord as error:
        damage.append(f"The record {error} is damaged.")
        return 0, []
    there = list(checksums.files_of(path))
    unrecorded = [name for name in there if name not in known]
    needed = _needed(path, damage)
    damage += [f"{name} is gone." for name in sorted(needed - set(there))]
    compared = [name for name in there if name in known]
    with progress_bar(f"Reading {path.name}", len(compared), progress) as advance:
        for name in compared:
            try:
                same = checksums.checksum_of(path / name) == known[name]
            except OSError:
                same = False
            if not same:
                damage.append(f"{name} is not what was written.")
            advance(1)
    return len(compared), [name for name in unrecorded if name in needed]


def _needed(path: Path, damage: list[str]) -> set[str]:
    """The files that some version consists of."""
    try:
        with reading(path):
            dataset = open_dataset(path, None)
            tracked = dataset.tracked_files().read_all()
            return set(tracked["path"].to_pylist())
    except BankError as error:
        damage.append(error.message)
        return set()


def _check_rows(path: Path, dataset: Any, damage: list[str]) -> int:
    """Reads every row: each column can be read, keys and ids are there once, metadata is an object, vectors have length 1."""
    with reading(path):
        info = BankInfo.load(dataset.schema.metadata, path)
        check_columns(dataset.schema, info, path)
        keys, ids, count = list[Any](), list[Any](), 0
        for batch in dataset.to_batches(batch_size=_BLOCK):
            count += len(batch)
            keys.append(batch.column("key").to_numpy(zero_copy_only=False))
            ids.append(np.fromiter(map(hash, batch.column("id").to_pylist()), np.int64, len(batch)))
            damage += list(_wrong_rows(batch, info))
    for what, found in (("key", keys), ("id", ids)):
        every = np.concatenate(found) if found else np.zeros(0, np.int64)
        if len(np.unique(every)) < len(every):
            damage.append(f"A document's {what} is there twice.")
    return count


def _wrong_rows(batch: Any, info: BankInfo) -> Iterator[str]:
    for one, metadata in zip(batch.column("id").to_pylist(), batch.column("metadata").to_pylist(), strict=True):
        try:
            fine = metadata is None or isinstance(json.loads(metadata), dict)
        except (ValueError, RecursionError):
            fine = False
        if not fine:
            yield f"The metadata of document {one!r} cannot be read."
    for part in ("text_vector", "image_vector"):
        column = batch.column(part)
        rows = column.flatten().to_numpy(zero_copy_only=False).reshape(-1, info.dimension)
        lengths = np.linalg.norm(rows, axis=1)
        if not np.allclose(lengths, 1, atol=1e-3):
            yield f"A {part.replace('_', ' ')} has not length 1."


def _check_hint(path: Path, damage: list[str]) -> None:
    """Lance's note of the newest version, where there is one."""
    hint = path / checksums.HINT
    try:
        if hint.exists() and read_text(hint, 1024) != checksums.hint_of(int(open_dataset(path, None).version)):
            damage.append(f"{checksums.HINT} is not what was written.")
    except (OSError, ValueError):
        damage.append(f"{checksums.HINT} cannot be read.")
    except BankError as error:
        if error.message not in damage:
            damage.append(error.message)
