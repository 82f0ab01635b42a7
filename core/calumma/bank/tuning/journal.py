"""measurements.jsonl: a line for each thing that was measured, so that a run which is stopped goes on from there."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from calumma.errors import InputError
from calumma.files import read_text

MOST = 2**28  # bytes
NUMBERS = {"build": ("seconds", "bytes"), "recall": ("recall", "at_least", "alone", "queries"), "round": ("rate", "latency")}


class Journal:
    """Measurements by what was measured and under which key; each is on disk as soon as it is made.

    Raises InputError where the file cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._found: dict[tuple[str, str], list[Mapping[str, float]]] = defaultdict(list)
        try:
            text = read_text(path, MOST)
        except FileNotFoundError:
            text = ""
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path} cannot be read: {error}.", "Choose another --out folder.") from error
        self._torn = bool(text) and not text.endswith("\n")
        for line in text.splitlines():
            self._take(line)

    def _take(self, line: str) -> None:
        """Remembers a line; one that is torn, or that somebody wrote by hand, is as if it were not there."""
        try:
            told = json.loads(line)
            facts = {name: float(told[name]) for name in NUMBERS[told["measured"]]}
        except (ValueError, TypeError, KeyError, RecursionError):
            return
        self._found[told["measured"], str(told.get("key"))].append(facts)

    def all(self, measured: str, key: str) -> list[Mapping[str, float]]:
        """Every measurement of this sort under a key, the oldest first."""
        return self._found.get((measured, key), [])

    def add(self, measured: str, key: str, facts: Mapping[str, float], about: Mapping[str, Any]) -> None:
        """Appends a measurement; `about` says for a person what it is of."""
        line = json.dumps({"measured": measured, "key": key, **about, **facts})
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write("\n" * self._torn + line + "\n")
        except OSError as error:
            raise InputError(f"Cannot write {self.path}: {error.strerror}.", "Choose another --out folder.") from error
        self._torn = False
        self._take(line)


def key_of(facts: Mapping[str, Any]) -> str:
    """16 hex digits that no other facts have."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:16]
