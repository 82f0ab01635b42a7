"""One kept index: its folder with a sealed manifest, checked before the engine is let near it (docs/decisions/0005).

The manifest has the sha256 of every file and of itself, and what the file system says of each file (size, times, inode). Where
that is still the same, the contents are not read again, so that an index which is mapped into memory opens at once; `verify`
reads them.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from calumma.bank.trust import is_sealed, is_trusted, seal
from calumma.documents import IntArray
from calumma.files import read_file, read_text
from calumma.interfaces import Retriever, sha256_of

if TYPE_CHECKING:
    from calumma.bank.bank import Bank

MANIFEST, KEYS = "manifest.json", "bank_keys.npy"
MAX_MANIFEST = 2**24


class Unusable(Exception):  # noqa: N818  (no error: the index is built again)
    """Why what lies in an index's place is not opened, as a phrase."""


def open_kept(bank: Bank, retriever: Retriever, place: Path, version: int) -> tuple[Retriever, IntArray]:
    """The index of a bank's version, and the row keys in it.

    Raises Unusable where what lies there is not exactly what this user wrote: engines may crash on anything else.
    """
    try:
        told = json.loads(read_text(place / MANIFEST, MAX_MANIFEST))
        told.pop("sum", None)
        sealed = told.pop("seal", "")
        if not is_trusted(place) and not is_sealed(told, sealed):
            raise Unusable("it was not built by this user's Calumma, and an index can hold what crashes its engine, or worse")
        if {**told, "files": 0, "status": 0} != _claims(bank, retriever, version):
            raise Unusable("it is of another bank, version or retriever")
        if told.get("status") != _status(place) and told["files"] != digests(place):
            raise Unusable("its files are not those that were written")
        keys = np.load(place / KEYS, allow_pickle=False)
        index = type(retriever).open(place, retriever.options)
    except Unusable:
        raise
    except Exception as error:  # of the engine, or of the file system
        raise Unusable(f"{type(error).__name__}: {error}".rstrip(".")) from error
    index.id = retriever.id
    return index, keys


def keep(bank: Bank, index: Retriever, place: Path) -> bool:
    """Writes beside its place, then moves it there; False where that cannot be written."""
    temporary = None
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=place.parent, prefix=f".{place.name}."))
        index.save(temporary)
        np.save(temporary / KEYS, bank.keys)
        told: dict[str, Any] = {**_claims(bank, index, bank.version), "files": digests(temporary), "status": _status(temporary)}
        (temporary / MANIFEST).write_bytes(_dump({**told, "seal": seal(told)}))
        temporary.chmod(0o755)
        if place.exists():
            os.rename(place, temporary / "damaged")  # goes with the temporary folder's old content below
            shutil.rmtree(temporary / "damaged")
        os.rename(temporary, place)
    except (OSError, RuntimeError):
        return False
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
    return True


def digests(place: Path) -> dict[str, str]:
    """File -> hex sha256 of all but the manifest. Raises Unusable for what is no ordinary file."""
    return {name: sha256_of(place / name) for name in _files(place)}


def owner_of(place: Path) -> str | None:
    """The component id of the retriever that a kept index says it is of; None where it does not say."""
    try:
        key = json.loads(read_text(place / MANIFEST, MAX_MANIFEST))["retriever"]
        return key.partition("#")[0] if isinstance(key, str) and "#" in key else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def damaged_files(place: Path) -> list[str]:
    """The files of a kept index that are not what its manifest says, whoever built it. Reads all of them."""
    try:
        content = read_file(place / MANIFEST, MAX_MANIFEST)
        told = json.loads(content)
        if "sum" in told:
            del told["sum"]
            whole = _dump(told) == content
        else:  # an older Calumma wrote it
            whole = json.dumps(told).encode() == content
        there, written = digests(place), told["files"]
        if not whole:
            return [MANIFEST]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, Unusable):
        return [MANIFEST]
    return sorted(name for name in {*there, *written} if there.get(name) != written.get(name))


def _dump(told: dict[str, Any]) -> bytes:
    """The one way to write it, with a sum of its own, so that any other byte shows to those who cannot check the seal too."""
    return json.dumps({**told, "sum": hashlib.sha256(json.dumps(told).encode()).hexdigest()}).encode()


def _claims(bank: Bank, retriever: Retriever, version: int) -> dict[str, object]:
    facts = {"retriever": retriever.index_key(), "bank": bank.info.identity, "version": version}
    return {**facts, "files": 0, "status": 0}


def _files(place: Path) -> list[str]:
    found = []
    for path in sorted(place.rglob("*")):
        name = path.relative_to(place).as_posix()
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise Unusable(f"{name} is a pipe, a device or a link")
        if path.is_file() and name != MANIFEST:
            found.append(name)
    return found


def _status(place: Path) -> dict[str, list[int]]:
    """What the file system says of each file. Nobody but the system's clock sets the time of the last change."""
    stats = {name: (place / name).stat() for name in _files(place)}
    return {name: [one.st_size, one.st_mtime_ns, one.st_ctime_ns, one.st_ino] for name, one in stats.items()}
