"""One writer at a time: a lock on a file of the bank's folder, which ends with its process however that ends."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from calumma.bank.schema import require
from calumma.bank.writing.whole import write_whole
from calumma.errors import BankError
from calumma.files import read_text

LOCK, HOLDER = "_lock", "_lock.json"
_MOST = 4096


@contextmanager
def writer_lock(folder: Path, what: str) -> Iterator[None]:
    """Held while it is open; the folder must exist.

    Args:
        what: the change, as the other one is told: "bank add".

    Raises BankError: another process writes, or the folder cannot be written.
    """
    filelock = require("filelock")
    lock = filelock.FileLock(str(folder / LOCK), timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise BankError(
            f"The bank {folder} is being written by {_holder(folder)}.", "Try again when that has ended."
        ) from error
    except OSError as error:
        raise BankError(f"The bank {folder} cannot be written ({error.strerror}).", "Write to a copy of it.") from error
    try:
        _say(folder, what)
        yield
    finally:
        (folder / HOLDER).unlink(missing_ok=True)
        lock.release()


def forget_lock(folder: Path) -> None:
    """Takes the lock's files out of a folder that is about to move; whoever holds the lock keeps it."""
    for name in (LOCK, HOLDER):
        (folder / name).unlink(missing_ok=True)


def _say(folder: Path, what: str) -> None:
    holder = {"what": what, "process": os.getpid(), "host": socket.gethostname(), "since": _now()}
    write_whole(folder / HOLDER, json.dumps(holder).encode())


def _holder(folder: Path) -> str:
    try:
        told = json.loads(read_text(folder / HOLDER, _MOST))
        return f"another process ({told['what']}, process {told['process']} on {told['host']}, since {told['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
