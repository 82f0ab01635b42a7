"""A folder of pictures with captions, as the ecosystem writes them: `metadata.jsonl`, `metadata.csv`, or a `.txt` for each."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from calumma.bank.sources.source import Item, Skipped, Source
from calumma.documents.pictures import MAX_FILE
from calumma.errors import BankError
from calumma.files import read_file, read_text

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"})
CAPTIONS = ("text", "caption")
LISTS = ("metadata.jsonl", "metadata.csv")
MAX_LIST = 2**32
MAX_CAPTION = 2**20


@dataclass(frozen=True)
class _Row:
    """A line of a list, or a lone picture (`values` is None); `reason` says why it cannot be used."""

    name: str
    path: Path | None = None
    values: dict[str, Any] | None = None
    reason: str = ""


class ImageFolder(Source):
    """Pictures of a folder and its subfolders, in the order of their paths.

    A line of a list has `file_name` (beside the list, or below it), `text` or `caption`, perhaps `id`; its other values
    are metadata. A line with a text and no `file_name` is a text alone.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).expanduser().resolve()
        self.name = str(self.folder)
        if not self.folder.is_dir():
            raise BankError(f"There is no folder {folder}.", "Give a folder of pictures with captions.")

    def count(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Item | Skipped]:
        for row in self._rows:
            yield self._item(row)

    def _item(self, row: _Row) -> Item | Skipped:
        if row.reason:
            return Skipped(row.name, row.reason)
        values = dict(row.values or {})
        try:
            image = read_file(row.path, MAX_FILE) if row.path else None
            text = _caption(values) if row.values is not None or row.path is None else self._beside(row.path)
        except (OSError, UnicodeDecodeError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            return Skipped(row.name, f"unreadable: {reason}")
        if not text:
            return Skipped(row.name, "no caption")
        given = values.pop("id", None)
        metadata = {key: value for key, value in values.items() if value is not None}
        return Item(row.name, text, image, None if given in (None, "") else str(given), metadata)

    def _beside(self, picture: Path) -> str:
        path = picture.with_suffix(".txt").resolve()
        if not path.is_file() or not path.is_relative_to(self.folder):
            return ""
        return read_text(path, MAX_CAPTION).strip()

    @cached_property
    def _rows(self) -> list[_Row]:
        rows, listed = [], set[Path]()
        for path in sorted(self.folder.rglob("metadata.*")):
            if path.name in LISTS and path.is_file() and path.resolve().is_relative_to(self.folder):
                for row in self._read_list(path):
                    rows.append(row)
                    if row.path is not None:
                        listed.add(row.path)
        pictures = [path for path in self.folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file()]
        rows += [self._row(path, path.parent, None) for path in pictures if path.resolve() not in listed]
        if not rows:
            raise BankError(
                f"There are no pictures in {self.folder}.", f"Give a folder with {', '.join(sorted(SUFFIXES))} files."
            )
        return sorted(rows, key=lambda row: row.name)  # stable: several lines of one picture stay in their order

    def _read_list(self, path: Path) -> Iterator[_Row]:
        where = path.relative_to(self.folder).as_posix()
        lines: list[tuple[int, Any]]
        try:
            content = read_text(path, MAX_LIST)
            if path.suffix == ".csv":
                lines = list(enumerate(csv.DictReader(io.StringIO(content, newline="")), start=2))
            else:
                lines = [(number, _json(line)) for number, line in enumerate(content.split("\n"), start=1) if line.strip()]
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise BankError(f"Cannot read {path} ({error}).", "Write it as UTF-8, one document a line.") from error
        for number, values in lines:
            name = f"{where}:{number}"
            if not isinstance(values, dict) or None in values:
                yield _Row(name, reason="a line that cannot be read")
            elif file_name := values.pop("file_name", None):
                yield self._row(path.parent / str(file_name), path.parent, values)
            else:
                yield _Row(name, None, values)

    def _row(self, path: Path, base: Path, values: dict[str, Any] | None) -> _Row:
        try:
            name = path.relative_to(self.folder).as_posix()
        except ValueError:
            name = str(path)
        try:
            resolved = path.resolve()
            if not resolved.is_relative_to(self.folder) or not path.is_relative_to(base):
                return _Row(name, reason="points outside of its folder")
            if not resolved.is_file():
                return _Row(name, reason="no such file")
        except (OSError, ValueError, RuntimeError):  # a name too long, with a NUL byte, or a link to itself
            return _Row(name, reason="no such file")
        return _Row(name, resolved, values)


def _json(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _caption(values: dict[str, Any]) -> str:
    """The caption of a line, which is taken out of its values."""
    for key in CAPTIONS:
        if isinstance(values.get(key), str):
            return str(values.pop(key)).strip()
    return ""
