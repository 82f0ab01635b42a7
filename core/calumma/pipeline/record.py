"""The record of a run: what was used, down to versions and the sha256 of every file of weights."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from calumma.documents.pictures import write_bytes
from calumma.interfaces import Component, sha256_of

_ALWAYS = ("calumma", "calumma-starter", "torch", "numpy", "pillow")


def components_record(slots: Mapping[str, Component]) -> dict[str, Any]:
    """Slot -> id, fingerprint, options as given, and path and sha256 of each asset."""
    return {
        slot: {
            "id": part.id,
            "fingerprint": part.fingerprint(),
            "options": part.options.model_dump(mode="json"),
            "assets": {name: {"path": str(path), "sha256": sha256_of(path)} for name, path in part.assets()},
        }
        for slot, part in slots.items()
    }


def versions(distributions: Iterable[str] = ()) -> dict[str, str]:
    """Versions of Python, of the platform, and of the named distributions that are installed."""
    found = {"python": platform.python_version(), "platform": f"{sys.platform}-{platform.machine()}"}
    for name in sorted({*_ALWAYS, *distributions}):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def write_json(path: Path, value: object) -> Path:
    """Writes JSON whole or not at all. Raises InputError where it cannot be written."""
    write_bytes(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())
    return path
