"""Writes a small file whole or not at all, and never through a link that a bank of somebody else may hold in its place."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

PART = ".part"


def write_whole(path: Path, content: bytes) -> None:
    """Writes beside the place, under a name that nobody can foresee, and moves it there. Raises OSError."""
    partial = path.parent / f".{path.name}.{uuid.uuid4().hex}{PART}"
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
