"""Which kept indexes may be opened: those that this user's Calumma wrote, told by a seal, and those of trusted folders.

Engines read their own binary formats with little checking, and a bank may come from anybody: see docs/decisions/0005.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import tempfile
from collections.abc import Mapping
from pathlib import Path

KEY_FILE = "index.key"
KEY_BYTES = 32


def cache_folder() -> Path:
    """$CALUMMA_CACHE, or ~/.cache/calumma."""
    return Path(os.environ.get("CALUMMA_CACHE") or "~/.cache/calumma").expanduser()


def seal(manifest: Mapping[str, object]) -> str:
    """Hex HMAC-SHA256 of a manifest under this user's key, which is made when there is none. Raises OSError."""
    text = json.dumps(manifest, sort_keys=True).encode()
    return hmac.new(_key(cache_folder()), text, hashlib.sha256).hexdigest()


def is_sealed(manifest: Mapping[str, object], told: object) -> bool:
    """Whether `told` is the seal of a manifest. Raises OSError where the key cannot be read or made."""
    return isinstance(told, str) and hmac.compare_digest(seal(manifest).encode(), told.encode("utf-8", "replace"))


def is_trusted(place: Path) -> bool:
    """Whether a place lies in a folder of CALUMMA_TRUST_INDEXES (absolute, separated as in PATH), links followed."""
    folders = (Path(one) for one in os.environ.get("CALUMMA_TRUST_INDEXES", "").split(os.pathsep) if one)
    return any(one.is_absolute() and place.resolve().is_relative_to(one.resolve()) for one in folders)


def _key(folder: Path) -> bytes:
    path = folder / KEY_FILE
    try:
        key = path.read_bytes()
    except FileNotFoundError:
        _write(path, secrets.token_bytes(KEY_BYTES))
        key = path.read_bytes()
    if len(key) != KEY_BYTES:
        raise OSError(f"{path} is damaged; remove it, and indexes are built again")
    return key


def _write(path: Path, key: bytes) -> None:
    """Readable by its owner alone from the first moment, and whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{KEY_FILE}.")  # mode 0600
    with os.fdopen(descriptor, "wb") as file:
        file.write(key)
    os.replace(temporary, path)
