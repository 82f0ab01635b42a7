"""What an interrupted change had done: rows that are embedded and written, but are no part of the bank yet.

`_pending/` holds `change.json`, which says what the change is, sealed (see `calumma.bank.trust`) because a bank may come from
anybody, and a SQLite file with the finished fragments and the ids in them. Both are gone when the change is committed.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import numpy as np
import pydantic

from calumma.bank.trust import is_sealed, seal
from calumma.bank.writing.checksums import Checksum
from calumma.bank.writing.whole import write_whole
from calumma.errors import BankError
from calumma.files import read_text
from calumma.interfaces import Vectors

FOLDER, CHANGE, ROWS = "_pending", "change.json", "rows.sqlite"
_MOST = 2**20
_SETTINGS = "PRAGMA trusted_schema = OFF; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
_TABLES = """
CREATE TABLE IF NOT EXISTS ids (id TEXT PRIMARY KEY, name TEXT, content BLOB, key INTEGER, run INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS fragments (number INTEGER PRIMARY KEY, fragment TEXT, files TEXT);
CREATE TABLE IF NOT EXISTS shards (number INTEGER PRIMARY KEY);
CREATE TABLE IF NOT EXISTS vectors (id TEXT PRIMARY KEY, content BLOB, text BLOB, image BLOB) WITHOUT ROWID;
CREATE TEMP TABLE there (id TEXT PRIMARY KEY, name TEXT) WITHOUT ROWID;
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
    """Of one change, in the folder where its rows are written. A context manager; leaving it keeps what it holds, if anything.

    Attributes:
        change: what is being done. run: how often it was begun, from 1. first_key: of the rows it holds.
    """

    def __init__(self, bank: Path, change: Change, first_key: int | None = None) -> None:
        self.bank, self.change = bank, change
        self.first_key = change.first_key if first_key is None else first_key
        folder = bank / FOLDER
        begun = pending_change(bank) is not None
        if not begun:
            discard(bank)  # what a killed `finish` left
        folder.mkdir(exist_ok=True)
        if not begun:
            told = asdict(change)
            write_whole(folder / CHANGE, json.dumps({**told, "seal": seal(told)}).encode())
        self._rows = sqlite3.connect(folder / ROWS)
        self._rows.executescript(_SETTINGS + _TABLES)
        (last,) = self._rows.execute("SELECT max(run) FROM ids").fetchone()
        self.run = int(last or 0) + 1
        stashed = self._rows.execute("SELECT 1 FROM vectors LIMIT 1").fetchone()
        self._has_stashed, self._has_there = stashed is not None, False  # most runs have neither: no need to look

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *exc: object) -> None:
        self._rows.close()
        if not has_work(self.bank):
            discard(self.bank)

    def find(self, id: str) -> tuple[Noted, bool] | None:
        """What is known of an id, and whether this run has met it already."""
        row = self._rows.execute("SELECT name, content, key, run FROM ids WHERE id = ?", (id,)).fetchone()
        if row is not None and row[3] == self.run:
            return Noted(id, *row[:3]), True
        if self._has_there:
            there = self._rows.execute("SELECT name FROM there WHERE id = ?", (id,)).fetchone()
            if there is not None:
                return Noted(id, there[0], b"", -1), True
        return None if row is None else (Noted(id, *row[:3]), False)

    def note_there(self, id: str, name: str) -> None:
        """This run has met a document that the bank has already."""
        self._has_there = True
        self._rows.execute("INSERT OR IGNORE INTO there VALUES (?, ?)", (id, name))

    def meet(self, id: str) -> None:
        """This run has met what an earlier one wrote."""
        self._rows.execute("UPDATE ids SET run = ? WHERE id = ?", (self.run, id))

    def stash(self, rows: Sequence[Noted], texts: Vectors, images: Vectors) -> None:
        """Keeps vectors [N, D] of rows that are embedded and not written yet; zeros where a row lacks that part."""
        with self._rows:
            self._rows.executemany(
                "INSERT OR REPLACE INTO vectors VALUES (?, ?, ?, ?)",
                [
                    (one.id, one.content, _blob(text), _blob(image))
                    for one, text, image in zip(rows, texts, images, strict=True)
                ],
            )

    def stashed(self, id: str, content: bytes) -> tuple[Vectors | None, Vectors | None] | None:
        """The vectors by text and by image of what an earlier run embedded and did not write; None where it did not."""
        if not self._has_stashed:
            return None
        asked = "SELECT text, image FROM vectors WHERE id = ? AND content = ?"
        row = self._rows.execute(asked, (id, content)).fetchone()
        if row is None:
            return None
        text, image = (None if one is None else np.frombuffer(one, np.float32) for one in row)
        return text, image

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
            self._rows.execute("DELETE FROM vectors")
            if shard is not None:
                self._rows.execute("INSERT OR IGNORE INTO shards VALUES (?)", (shard,))

    def shards(self) -> set[int]:
        """Numbers of the shards of the source that are done."""
        return {number for (number,) in self._rows.execute("SELECT number FROM shards")}

    def next_key(self) -> int:
        """After all keys that are written."""
        (last,) = self._rows.execute("SELECT max(key) FROM ids").fetchone()
        return self.first_key if last is None else int(last) + 1

    def rows(self) -> Iterator[Noted]:
        """Every row that is written."""
        for row in self._rows.execute("SELECT id, name, content, key FROM ids ORDER BY key"):
            yield Noted(*row)

    def meet_all(self) -> int:
        """This run has met all that earlier ones wrote, without looking; gives how many rows."""
        with self._rows:
            return self._rows.execute("UPDATE ids SET run = ?", (self.run,)).rowcount

    def fragments(self) -> list[tuple[dict[str, Any], dict[str, Checksum]]]:
        """Each fragment as Lance's JSON, and the checksums of its files (paths below the bank's folder)."""
        rows = self._rows.execute("SELECT fragment, files FROM fragments ORDER BY number").fetchall()
        return [(json.loads(one), {name: Checksum(*sums) for name, sums in json.loads(files).items()}) for one, files in rows]

    def kept(self) -> int:
        """How many rows this run has met; fewer than the fragments hold where the source has changed in between."""
        (count,) = self._rows.execute("SELECT count(*) FROM ids WHERE run = ?", (self.run,)).fetchone()
        return int(count)

    def kept_keys(self, first: int, last: int) -> set[int]:
        """Keys of such rows, from `first` to `last`."""
        asked = "SELECT key FROM ids WHERE run = ? AND key BETWEEN ? AND ?"
        return {key for (key,) in self._rows.execute(asked, (self.run, first, last))}

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
    except (OSError, ValueError, AttributeError, TypeError, RecursionError) as error:
        raise BankError(f"What was interrupted in {bank} cannot be read.", fix) from error
    if not is_sealed(asdict(change), given):
        raise BankError(f"Somebody else was changing the bank {bank} when they were interrupted.", fix)
    return change


def has_work(bank: Path) -> bool:
    """Whether an interrupted change left anything that need not be done again."""
    try:
        rows = sqlite3.connect(f"file:{quote(str(bank / FOLDER / ROWS))}?mode=ro", uri=True)
        with closing(rows):
            found = rows.execute("SELECT EXISTS (SELECT 1 FROM ids), EXISTS (SELECT 1 FROM vectors)").fetchone()
            return any(found)
    except sqlite3.Error:
        return False


def discard(bank: Path) -> None:
    """Gives up what was interrupted: its rows were never part of the bank."""
    folder = bank / FOLDER
    if folder.is_symlink():
        folder.unlink()
    elif folder.exists():
        shutil.rmtree(folder)


def _blob(vector: Vectors) -> bytes | None:
    return vector.tobytes() if vector.any() else None
