"""Makes a bank small again: fewer and fuller files, and no versions or indexes that nobody needs any more."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from calumma.bank.indexes import FOLDER as INDEXES
from calumma.bank.indexes import drop_kept
from calumma.bank.opening import open_dataset, reading
from calumma.bank.writing.changes import changing, recovered
from calumma.bank.writing.forgetting import forget_versions
from calumma.bank.writing.journal import pending_change
from calumma.bank.writing.lock import HOLDER, LOCK
from calumma.errors import BankError, InputError

MOST_DAYS = 36_500.0


@dataclass(frozen=True)
class Compaction:
    """What `compact` did: the bank's version, how many versions are left, and its size in bytes before and after."""

    version: int
    versions: int
    before: int
    after: int


def compact(bank: str | Path, keep_days: float = 7.0) -> Compaction:
    """Merges small files, drops removed rows, and forgets versions that are older than `keep_days`.

    Version numbers, keys and ids stay. A reader of a version that is forgotten can read no more.

    Raises:
        BankError: there is no bank, another process writes to it, or a change of it was interrupted.
        InputError: `keep_days` is not from 0 on.
    """
    if not keep_days >= 0:
        raise InputError(f"There are no {keep_days:g} days.", "Give a number of days from 0 on.")
    path = Path(bank).expanduser().absolute()
    open_dataset(path, None)
    with changing(path, "compact"):
        recovered(path)
        pending = pending_change(path)
        if pending is not None:
            raise BankError(
                f"`bank {pending.verb}` of {pending.source or 'another source'} was interrupted in {path}.",
                "Run it again first, or give it up with --discard.",
            )
        before = _size(path)
        with reading(path.name):
            open_dataset(path, None).optimize.compact_files()
            recovered(path)
            forget_versions(path, datetime.now(UTC) - timedelta(days=min(keep_days, MOST_DAYS)))
            dataset = open_dataset(path, None)
            versions = [int(one["version"]) for one in dataset.versions()]
        _forget_indexes(path, versions)
        return Compaction(int(dataset.version), len(versions), before, _size(path))


def _forget_indexes(path: Path, versions: list[int]) -> None:
    """Removes kept indexes of versions that are there no more, and what an interrupted writer of one left."""
    folder = path / INDEXES
    if folder.is_symlink() or not folder.is_dir():
        return
    for place in folder.iterdir():
        _, _, version = place.name.rpartition("-v")
        if place.name.startswith("."):
            shutil.rmtree(place, ignore_errors=True)
        elif version.isdigit() and int(version) not in versions:
            drop_kept(place)


def _size(path: Path) -> int:
    files = (one for one in path.rglob("*") if one.is_file() and not one.is_symlink())
    return sum(one.stat().st_size for one in files if one.name not in (LOCK, HOLDER))
