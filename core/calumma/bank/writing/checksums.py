"""The size and sha256 of every file of a bank, kept beside it: Lance itself does not notice a flipped byte.

Lance never changes a file that it has written, so a file is recorded once. `_checksums/` holds a JSON file per change.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from calumma.bank.writing.whole import PART, write_whole
from calumma.files import read_file

FOLDER = "_checksums"
KEPT = ("data", "_versions", "_transactions", "_deletions", "_indices", "_reports")  # those of Lance, and our reports
HINT = "_versions/latest_version_hint.json"  # the one file that Lance writes again
MOST = 2**30


@dataclass(frozen=True)
class Checksum:
    """Of one file: its size in bytes and its hex sha256."""

    size: int
    sha256: str


class DamagedRecord(Exception):  # noqa: N818  (what `verify` reports)
    """A file of `_checksums/` is not what was written."""


def checksum_of(path: Path) -> Checksum:
    """Reads a file. Raises OSError."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Checksum(path.stat().st_size, digest)


def files_of(bank: Path) -> Iterator[str]:
    """The files of a bank that never change, as paths below its folder, in order."""
    for folder in KEPT:
        for path in sorted((bank / folder).rglob("*")):
            name = path.relative_to(bank).as_posix()
            if name != HINT and path.is_file():
                yield name


def record_files(bank: Path, name: str, files: Iterable[str]) -> None:
    """Reads files and records them as `_checksums/NAME.json`. Raises OSError."""
    record(bank, name, {file: checksum_of(bank / file) for file in files})


def record(bank: Path, name: str, sums: Mapping[str, Checksum]) -> None:
    """Writes checksums as `_checksums/NAME.json`, whole or not at all; nothing is written where there are none."""
    if not sums:
        return
    folder = bank / FOLDER
    folder.mkdir(exist_ok=True)
    write_whole(folder / f"{name}.json", _dump({file: [one.size, one.sha256] for file, one in sums.items()}))


def recorded(bank: Path) -> dict[str, Checksum]:
    """File -> its checksum, of all records. Raises DamagedRecord, OSError."""
    found: dict[str, Checksum] = {}
    for path in sorted((bank / FOLDER).glob("*.json")):
        content = read_file(path, MOST)
        try:
            files = json.loads(content)["files"]
            found |= {str(file): Checksum(int(size), str(digest)) for file, (size, digest) in files.items()}
            whole = _dump(files) == content
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            whole = False
        if not whole:
            raise DamagedRecord(f"{FOLDER}/{path.name}")
    return found


def record_rest(bank: Path, name: str, written: Mapping[str, Checksum] | None = None) -> None:
    """Records every file that no record has yet, as it was written or else as it is. Raises DamagedRecord, OSError."""
    known, sums = recorded(bank), written or {}
    rest = [file for file in files_of(bank) if file not in known]
    record(bank, name, {file: sums[file] if file in sums else checksum_of(bank / file) for file in rest})


def hint_of(version: int) -> str:
    """What Lance writes to its note of the newest version."""
    return json.dumps({"version": version}, separators=(",", ":"))


def mend_hint(bank: Path, version: int) -> None:
    """Writes the note of the newest version, where a writer was killed before it did. Raises OSError."""
    hint = bank / HINT
    if hint.exists() and hint.read_bytes() != hint_of(version).encode():
        write_whole(hint, hint_of(version).encode())


def forget_gone(bank: Path) -> None:
    """One record in place of all, without files that are there no more. Raises DamagedRecord, OSError."""
    there = set(files_of(bank))
    kept = {file: one for file, one in recorded(bank).items() if file in there}
    old = sorted((bank / FOLDER).glob("*.json"))
    record(bank, "all", kept)
    for path in [*old, *(bank / FOLDER).glob(f"*{PART}")]:
        if path.name != "all.json":
            path.unlink()


def _dump(files: Mapping[str, object]) -> bytes:
    """The one way to write it, with a sum of its own, so that any other byte shows."""
    body = json.dumps(files, sort_keys=True)
    return json.dumps({"files": json.loads(body), "sum": hashlib.sha256(body.encode()).hexdigest()}, sort_keys=True).encode()
