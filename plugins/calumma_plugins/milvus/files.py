"""What a saved index says of itself, and the files of Milvus Lite beside it, each with its hash."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from calumma.errors import AssetError
from calumma.files import read_text
from calumma.interfaces import sha256_of

FILE, LITE = "collection.json", "milvus"


def write(folder: Path, told: dict[str, Any], database: Path | None) -> None:
    """Saves a description and, for Milvus Lite, a copy of its database."""
    if database is not None:
        shutil.copytree(database, folder / LITE)
        told = told | {"files": _hashes(folder / LITE)}
    (folder / FILE).write_text(json.dumps(told), encoding="utf-8")


def read(folder: Path) -> dict[str, Any]:
    """The description. Raises AssetError where there is none, or where its fields are not what they should be."""
    try:
        told = json.loads(read_text(folder / FILE, 2**24))
        kinds = {"uri": str, "database": str, "collection": str, "index": str, "rows": int, "dimension": int}
        optional = {"uri", "collection", "dimension"}
        for name, kind in kinds.items():
            if not isinstance(told[name], kind) and not (name in optional and told[name] is None):
                raise ValueError(f"{name} is {told[name]!r}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AssetError(f"{folder} holds no index of milvus/collection.", "Build it again.") from error
    return dict(told)


def copy_database(folder: Path, told: dict[str, Any], target: Path) -> None:
    """Puts a saved database where Milvus Lite may change it. Raises AssetError where it is not what was saved."""
    source = folder / LITE
    try:
        if source.is_symlink() or not source.is_dir():
            raise OSError("there is no database")
        for path in source.rglob("*"):
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                raise OSError(f"{path} is no ordinary file")
        shutil.copytree(source, target)
        if _hashes(target) != told.get("files"):
            raise OSError("its files are not those that were saved")
    except (OSError, shutil.Error) as error:
        raise AssetError(f"The index in {folder} is damaged: {error}.", "Build it again.") from error


def _hashes(folder: Path) -> dict[str, str]:
    """sha256 of each file; but for Milvus Lite's lock, which is empty."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "LOCK"]
    return {path.relative_to(folder).as_posix(): sha256_of(path) for path in files}
