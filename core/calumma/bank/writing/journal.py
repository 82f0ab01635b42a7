"""What an interrupted change had done: rows that are embedded and written, but are no part of the bank yet.

`_pending/` holds `change.json`, which says what the change is, sealed (see `calumma.bank.trust`) because a bank may come from
anybody, and a SQLite file with the finished fragments and the ids in them. Both are gone when the change is committed.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import pydantic

from calumma.bank.trust import is_sealed, seal
from calumma.bank.writing.checksums import Checksum
from calumma.errors import BankError
from calumma.files import read_text

FOLDER, CHANGE, ROWS = "_pending", "change.json", "rows.sqlite"
_MOST = 2**20
_TABLES = """
CREATE TABLE IF NOT EXISTS ids (id TEXT PRIMARY KEY, name TEXT, content BLOB, key INTEGER, run INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS fragments (number INTEGER PRIMARY KEY, fragment TEXT, files TEXT);
CREATE TABLE IF NOT EXISTS shards (number INTEGER PRIMARY KEY);
"""

Verb = Literal["build", "add", "upsert"]


@dataclass(frozen=True)
class Change:
    """What is being done to a bank.

    Attributes:
        source: what is read, as a person would name it. embedder: the fingerprint.
        base: the version that the keys of new rows follow on; 0 for a new bank.
        identity: of the bank. transaction: the uuid under which Lance commits it.
    """

    verb: Verb
    source: str
    embedder: str
    base: int
    identity: str
    transaction: str

    @classmethod
    def new(cls, verb: Verb, source: str, embedder: str, base: int, identity: str) -> Change:
        """With a transaction of its own."""
        return cls(verb, source, embedder, base, identity, str(uuid.uuid4()))

    @property
    def first_key(self) -> int:
        """Of the rows that it adds. Versions only grow, so no key is ever given twice."""
        return self.base << 40

    def same(self, other: Change) -> bool:
        """Whether the other one goes on where this one stopped."""
        return (self.verb, self.source, self.embedder, self.identity) == (
            other.verb,
            other.source,
            other.embedder,
            other.identity,
        )


@dataclass(frozen=True)
class Noted:
    """One row that is written: the name and the content (a digest) of what it was made of, and its key."""

    id: str
    name: str
    content: bytes
    key: int


class Journal:
    """Of one change, in the folder where its rows are written. A context manager; leaving it keeps what it holds.

    Attributes:
        change: what is being done. run: how often it was begun, from 1.
    """

    def __init__(self, bank: Path, change: Change) -> None:
        self.bank, self.change = bank, change
        folder = bank / FOLDER
        folder.mkdir(exist_ok=True)
        if pending_change(bank) is None:
            told = asdict(change)
            partial = folder / f".{CHANGE}"
            partial.write_text(json.dumps({**told, "seal": seal(told)}), encoding="utf-8")
            os.replace(partial, folder / CHANGE)
        self._rows = sqlite3.connect(folder / ROWS)
        self._rows.executescript("PRAGMA trusted_schema = OFF;" + _TABLES)
        (last,) = self._rows.execute("SELECT max(run) FROM ids").fetchone()
        self.run = int(last or 0) + 1

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *exc: object) -> None:
        self._rows.close()

    def find(self, id: str) -> tuple[Noted, bool] | None:
        """What is written under an id, and whether this run has met it already."""
        row = self._rows.execute("SELECT name, content, key, run FROM ids WHERE id = ?", (id,)).fetchone()
        return None if row is None else (Noted(id, row[0], row[1], row[2]), row[3] == self.run)

    def meet(self, id: str) -> None:
        """This run has met what an earlier one wrote."""
        self._rows.execute("UPDATE ids SET run = ? WHERE id = ?", (self.run, id))

    def write(
        self, fragments: Sequence[tuple[str, Mapping[str, Checksum]]], rows: Sequence[Noted], shard: int | None = None
    ) -> None:
        """Notes fragments (as JSON, with the checksums of their files) and their rows, all or nothing.

        A row whose id is there already takes its place: what was written under it before becomes stale.
        """
        with self._rows:  # one transaction, with what `meet` noted
            for fragment, files in fragments:
                sums = json.dumps({name: [one.size, one.sha256] for name, one in files.items()})
                self._rows.execute("INSERT INTO fragments (fragment, files) VALUES (?, ?)", (fragment, sums))
            self._rows.executemany(
                "INSERT OR REPLACE INTO ids VALUES (?, ?, ?, ?, ?)",
                [(one.id, one.name, one.content, one.key, self.run) for one in rows],
            )
            if shard is not None:
                self._rows.execute("INSERT OR IGNORE INTO shards VALUES (?)", (shard,))

    def shards(self) -> set[int]:
        """Numbers of the shards of the source that are done."""
        return {number for (number,) in self._rows.execute("SELECT number FROM shards")}

    def next_key(self) -> int:
        """After all keys that are written."""
        (last,) = self._rows.execute("SELECT max(key) FROM ids").fetchone()
        return self.change.first_key if last is None else int(last) + 1

    def fragments(self) -> list[tuple[dict[str, Any], dict[str, Checksum]]]:
        """Each fragment as Lance's JSON, and the checksums of its files (paths below the bank's folder)."""
        rows = self._rows.execute("SELECT fragment, files FROM fragments ORDER BY number").fetchall()
        return [(json.loads(one), {name: Checksum(*sums) for name, sums in json.loads(files).items()}) for one, files in rows]

    def kept_keys(self) -> set[int]:
        """Keys of the rows that this run has met; the source has no others now."""
        return {key for (key,) in self._rows.execute("SELECT key FROM ids WHERE run = ?", (self.run,))}

    def all_met(self) -> bool:
        """Whether no row is stale: each is of this run, and none was written over."""
        (others,) = self._rows.execute("SELECT count(*) FROM ids WHERE run != ?", (self.run,)).fetchone()
        return not others

    def finish(self) -> None:
        """Forgets the change: it is part of the bank now, or is given up."""
        self._rows.close()
        shutil.rmtree(self.bank / FOLDER)


def pending_change(bank: Path) -> Change | None:
    """The change that was interrupted in a bank. Raises BankError where it cannot be told, or is not this user's."""
    path = bank / FOLDER / CHANGE
    if not path.exists():
        return None
    fix = "Give it up with --discard, which loses nothing that the bank holds."
    if (bank / FOLDER).is_symlink() or (bank / FOLDER / ROWS).is_symlink():
        raise BankError(f"What lies in {bank / FOLDER} is a link to somewhere else.", fix)
    try:
        told = json.loads(read_text(path, _MOST))
        given = told.pop("seal", "")
        change = pydantic.TypeAdapter(Change).validate_python(told)
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise BankError(f"What was interrupted in {bank} cannot be read.", fix) from error
    if not is_sealed(asdict(change), given):
        raise BankError(f"Somebody else was changing the bank {bank} when they were interrupted.", fix)
    return change


def discard(bank: Path) -> None:
    """Gives up what was interrupted: its rows were never part of the bank."""
    folder = bank / FOLDER
    if folder.is_symlink():
        folder.unlink()
    elif folder.exists():
        shutil.rmtree(folder)
