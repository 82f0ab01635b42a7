"""A folder of pictures with captions, as the ecosystem writes them: `metadata.jsonl`, `metadata.csv`, or a `.txt` for each."""

from __future__ import annotations

import copy
import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from calumma.bank.sources.places import OUTSIDE, Names, UnusableError, content_of_file, inside, text_of
from calumma.bank.sources.rows import BROKEN_LINE, Columns, json_object, make_item, take_text
from calumma.bank.sources.source import Item, Skipped, Source
from calumma.bank.sources.table import LINES, PARQUET
from calumma.documents.pictures import MAX_FILE
from calumma.errors import BankError
from calumma.files import read_text

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"})
LISTS = ("metadata.jsonl", "metadata.csv")
MAX_LIST = 2**32
MAX_CAPTION = 2**20
SHARD_ROWS = 4096


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

    Args:
        uncaptioned: take pictures without a caption too, as pictures alone.

    Raises BankError: no such folder, or not one picture and no line in it.
    """

    def __init__(self, folder: str | Path, uncaptioned: bool = False) -> None:
        self.folder = Path(folder).expanduser().resolve()
        self.name, self.columns = str(self.folder), Columns(uncaptioned=uncaptioned)
        self.format = "A folder of pictures with captions."
        if not self.folder.is_dir():
            raise BankError(f"There is no folder {folder}.", "Give a folder of pictures with captions.")

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether a folder has a list, a picture with its text beside it, or pictures and no tables that may speak of them."""
        pictures = tables = False
        for one in path.rglob("*"):
            suffix = one.suffix.lower()
            if one.name in LISTS or (suffix in SUFFIXES and one.with_suffix(".txt").is_file()):
                return True
            pictures, tables = pictures or suffix in SUFFIXES, tables or suffix in (PARQUET, *LINES)
        return pictures and not tables

    def count(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Item | Skipped]:
        for row in self._rows:
            yield self._item(row)

    def shards(self) -> Sequence[Source]:
        return [self._of(self._rows[start : start + SHARD_ROWS]) for start in range(0, len(self._rows), SHARD_ROWS)]

    def _of(self, rows: list[_Row]) -> ImageFolder:
        shard = copy.copy(self)
        shard._rows = rows
        return shard

    def _item(self, row: _Row) -> Item | Skipped:
        if row.reason:
            return Skipped(row.name, row.reason)
        values = dict(row.values or {})
        try:
            image = content_of_file(row.path, MAX_FILE) if row.path else None
            listed = row.values is not None or row.path is None
            text = take_text(values, self.columns) if listed else self._beside(row.path)
        except UnusableError as error:
            return error.skipped(row.name)
        return make_item(row.name, text, image, values, self.columns)

    def _beside(self, picture: Path | None) -> str:
        path = picture.with_suffix(".txt").resolve() if picture else self.folder
        if not path.is_file() or not path.is_relative_to(self.folder):
            return ""
        return text_of(content_of_file(path, MAX_CAPTION))

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
        rows.sort(key=lambda row: row.name)  # stable: several lines of one picture stay in their order
        names = Names()
        return [replace(row, name=names(row.name)) for row in rows]

    def _read_list(self, path: Path) -> Iterator[_Row]:
        where = path.relative_to(self.folder).as_posix()
        lines: list[tuple[int, Any]]
        try:
            content = read_text(path, MAX_LIST)
            if path.suffix == ".csv":
                lines = list(enumerate(csv.DictReader(io.StringIO(content, newline="")), start=2))
            else:
                lines = [(number, line) for number, line in enumerate(content.split("\n"), start=1) if line.strip()]
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise BankError(f"Cannot read {path} ({error}).", "Write it as UTF-8, one document a line.") from error
        for number, line in lines:
            name = f"{where}:{number}"
            try:
                values = line if isinstance(line, dict) else json_object(line)
            except UnusableError as error:
                yield _Row(name, reason=str(error))
                continue
            if None in values:  # a line of a CSV file with more cells than its head
                yield _Row(name, reason=BROKEN_LINE)
            elif file_name := values.pop("file_name", None):
                yield self._row(path.parent / str(file_name), path.parent, values)
            else:
                yield _Row(name, None, values)

    def _row(self, path: Path, base: Path, values: dict[str, Any] | None) -> _Row:
        try:
            name = path.relative_to(self.folder).as_posix()
        except ValueError:
            name = str(path)
        if not path.is_relative_to(base):
            return _Row(name, reason=OUTSIDE)
        try:
            return _Row(name, inside(self.folder, path), values)
        except UnusableError as error:
            return _Row(name, reason=str(error))
