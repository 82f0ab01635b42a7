"""What became of a source, counted; and each document that was left out, with the reason, in a file beside the bank's data."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from calumma.bank.sources.source import Skipped

LISTED = 10_000


@dataclass(frozen=True)
class Report:
    """What a change did.

    Attributes:
        read: documents of the source. kept: those that the bank has from it now, new or as before.
        skipped: (name, reason) of the first 10,000 that were left out. reasons: how often each reason occurred.
        embedded: of those kept, new. resumed: embedded by an earlier run that was interrupted.
        there: in the bank before, unchanged. replaced: documents of the bank that gave way.
        listed: the file that lists all that was left out; None where nothing was.
        version: of the bank, afterwards.
    """

    read: int
    kept: int
    skipped: list[tuple[str, str]] = field(default_factory=list)
    reasons: dict[str, int] = field(default_factory=dict)
    embedded: int = 0
    resumed: int = 0
    there: int = 0
    replaced: int = 0
    listed: Path | None = None
    version: int = 0

    def moved(self, place: Path, out: Path) -> Report:
        """The same for a bank that has moved."""
        return self if self.listed is None else replace(self, listed=out / self.listed.relative_to(place))

    def __str__(self) -> str:
        parts = [(self.there, "there already"), (self.replaced, "replaced"), (self.resumed, "embedded before the interruption")]
        said = ", ".join(f"{count:,} {what}" for count, what in parts if count)
        left_out = "; ".join(f"{count:,} {reason}" for reason, count in self.reasons.items())
        text = f"{self.kept:,} of {self.read:,} documents kept" + (f" ({said})" if said else "")
        return text + (f", left out: {left_out}." if left_out else ".")


class SkippedList:
    """Names and reasons, written to a file as they come; only counts and the first ones stay in memory."""

    def __init__(self, path: Path) -> None:
        self.path, self.first, self.count = path, list[tuple[str, str]](), 0
        self._reasons: Counter[str] = Counter()
        path.unlink(missing_ok=True)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.first)

    def append(self, one: Skipped) -> None:
        """Counts and lists one more."""
        self.extend([one])

    def extend(self, more: Sequence[Skipped]) -> None:
        """The same for several."""
        if not more:
            return
        with self.path.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.writelines(json.dumps({"name": one.name, "reason": one.reason}) + "\n" for one in more)
        for one in more:
            self.count += 1
            self._reasons[one.reason.split(":")[0]] += 1
            if len(self.first) < LISTED:
                self.first.append((one.name, one.reason))

    @property
    def first_said(self) -> str:
        """The first one and its reason, for an error."""
        return ", ".join(self.first[0]) if self.first else "the source is empty"

    def all(self) -> Iterator[Skipped]:
        """Every one, from the file."""
        if self.count:
            with self.path.open(encoding="utf-8") as file:
                for line in file:
                    yield Skipped(**json.loads(line))

    @property
    def reasons(self) -> dict[str, int]:
        """How often each reason occurred, the most frequent first; details after a colon are dropped."""
        return dict(self._reasons.most_common())

    def move_to(self, folder: Path, name: str) -> Path | None:
        """Puts the file into a folder, where it stays. Gives None where nothing was left out."""
        if not self.count:
            return None
        folder.mkdir(exist_ok=True)
        os.replace(self.path, folder / name)
        return folder / name
