"""Forgets old versions of a bank. Lance removes their files one by one; a note says so, until it has come to its end.

While the note is there, files of older versions that are gone are no damage; a writer that finds it, since the last one was
killed, goes on with it first. Everything here is for whoever holds the writer's lock, but `is_forgetting`.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from calumma.bank.opening import open_dataset, reading
from calumma.bank.writing import checksums
from calumma.bank.writing.whole import write_whole
from calumma.files import read_text

NOTE = "forgetting"
_MOST = 4096


def is_forgetting(bank: Path) -> bool:
    """Whether versions are being forgotten, or a writer was killed while it did that."""
    return (bank / checksums.FOLDER / NOTE).is_file()


def forget_versions(bank: Path, before: datetime) -> None:
    """Forgets the versions that are older than a moment, but never the newest. Raises BankError, OSError, DamagedRecord."""
    folder = bank / checksums.FOLDER
    folder.mkdir(exist_ok=True)
    write_whole(folder / NOTE, json.dumps({"before": before.isoformat()}).encode())
    _forget(bank, before)


def go_on_forgetting(bank: Path) -> None:
    """Ends what a killed writer had begun. Raises BankError, OSError, DamagedRecord."""
    if not is_forgetting(bank):
        return
    try:
        before = datetime.fromisoformat(json.loads(read_text(bank / checksums.FOLDER / NOTE, _MOST))["before"]).astimezone(UTC)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise checksums.DamagedRecord(f"{checksums.FOLDER}/{NOTE}") from error
    _forget(bank, before)


def _forget(bank: Path, before: datetime) -> None:
    with reading(bank.name):
        age = max(datetime.now(UTC) - before, timedelta(0))
        open_dataset(bank, None).cleanup_old_versions(age, delete_unverified=True)
    checksums.forget_gone(bank)
    (bank / checksums.FOLDER / NOTE).unlink(missing_ok=True)
