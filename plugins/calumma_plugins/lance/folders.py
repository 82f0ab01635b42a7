"""The folder of a data set: looked through before Lance reads it, and copied without copying what cannot change."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from calumma.errors import AssetError


def check_folder(folder: Path) -> None:
    """Raises AssetError unless there are ordinary files and folders alone: a link could lead anywhere, a pipe would hang."""
    if not folder.is_dir() or folder.is_symlink():
        raise AssetError(f"There is no data set at {folder}.", "Build the index again.")
    for path in folder.rglob("*"):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise AssetError(f"{path} is no ordinary file, and an index holds no others.", "Build the index again.")


def copy_folder(source: Path, target: Path) -> None:
    """A second name for every file where the file system has them, else a copy: Lance writes a file once, and never again."""
    for path in sorted(source.rglob("*")):
        place = target / path.relative_to(source)
        if path.is_dir():
            place.mkdir(parents=True, exist_ok=True)
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(path, place)
        except OSError:
            shutil.copy2(path, place)
