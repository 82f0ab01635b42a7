"""A table of documents: Parquet, or JSON Lines."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from calumma.bank.sources.arrow_rows import kept_columns
from calumma.bank.sources.parquet import group_sizes, open_parquet, rows_of_group
from calumma.bank.sources.parts import PartedSource
from calumma.bank.sources.places import EMPTY, FoundFile, UnusableError, files_below, has_files, unreadable
from calumma.bank.sources.rows import Columns, item_of_row, json_object
from calumma.bank.sources.source import Item, Skipped, Source
from calumma.documents.printing import printable
from calumma.errors import BankError
from calumma.files import open_file

PARQUET, LINES = ".parquet", (".jsonl", ".ndjson")
MAX_LINE = 2**24
SHARD_ROWS = 4096


@dataclass(frozen=True)
class TablePart:
    """A file, or some row groups of one, whose first row is the `row`-th of the file."""

    file: FoundFile
    groups: range | None = None
    row: int = 0


class Table(PartedSource[TablePart]):
    """Rows of a Parquet or JSON Lines file, or of all such files of a folder in the order of their paths.

    `text` or `caption` is the text; `image`, `file_name` or `image_path` the picture: the bytes of a file, Hugging Face's
    {bytes, path}, or a path below the folder of the table. `id` is the id. Other columns are metadata, and so is each value
    of an object, or of its JSON, in `metadata`: what JSON does not have becomes text (times as ISO 8601), columns of bytes
    are left out. A row without a picture is a text alone. Rows are called `FILE:NUMBER`, counted from 0 in Parquet; of
    lines, from 1.

    Args:
        text_column, image_column, id_column: other names for them.
        uncaptioned: take pictures without a caption too, as pictures alone.

    Attributes:
        left_out: columns of bytes, which no metadata can hold.

    Raises BankError: no such file, or no column of a name that was given.
    """

    def __init__(
        self,
        path: str | Path,
        text_column: str | None = None,
        image_column: str | None = None,
        id_column: str | None = None,
        uncaptioned: bool = False,
    ) -> None:
        place = Path(path).expanduser().resolve()
        self.name = str(place)
        self.columns = Columns(text_column, image_column, id_column or "id", uncaptioned)
        alone = (
            [FoundFile(place, printable(place.name))] if place.suffix.lower() in (PARQUET, *LINES) and place.exists() else []
        )
        files = files_below(place, PARQUET, *LINES) if place.is_dir() else alone
        if not files:
            fix = f"Give a {PARQUET}, {' or '.join(LINES)} file, or a folder of them."
            raise BankError(f"There is no table at {path}.", fix)
        self.parts: Sequence[TablePart] = [TablePart(file) for file in files]
        self.left_out = self._checked_columns([text_column, image_column, id_column])
        kinds = " and ".join(sorted({_kind(file) for file in files}))
        said = f"; columns of bytes are left out: {', '.join(self.left_out)}" if self.left_out else ""
        self.format = f"{kinds}, {len(files)} file{'s' * (len(files) > 1)}{said}."

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether a path is a table, or a folder of tables."""
        return path.suffix.lower() in (PARQUET, *LINES) if path.is_file() else has_files(path, PARQUET, *LINES)

    def read(self, part: TablePart) -> Iterator[Item | Skipped]:
        try:
            path = part.file.usable()
            yield from self._rows(path, part) if _kind(part.file) == "Parquet" else self._lines(path, part.file.name)
        except UnusableError as error:
            yield error.skipped(part.file.name)

    def count(self) -> int | None:
        counts = [self._count(part) for part in self.parts]
        return None if any(count is None for count in counts) else sum(count or 0 for count in counts)

    def shards(self) -> Sequence[Source]:
        return [self.with_parts([one]) for part in self.parts for one in self._split(part)]

    def _rows(self, path: Path, part: TablePart) -> Iterator[Item | Skipped]:
        row = part.row
        with open_parquet(path) as table:
            sizes = group_sizes(table)
            if not sum(sizes):
                raise UnusableError(EMPTY)
            columns, _ = kept_columns(table.schema_arrow, self.columns.images)
            for group in range(len(sizes)) if part.groups is None else part.groups:
                end = row + sizes[group]
                try:
                    for values in rows_of_group(table, group, columns):
                        yield item_of_row(f"{part.file.name}:{row}", values, self.columns, path.parent)
                        row += 1
                except UnusableError as error:
                    yield error.skipped(f"{part.file.name}:{row}" + f"-{end - 1}" * (end > row + 1))
                row = end

    def _lines(self, path: Path, name: str) -> Iterator[Item | Skipped]:
        number = 0
        for number, line in _read_lines(path):
            where = f"{name}:{number}"
            if line is None:
                yield Skipped(where, f"a line longer than {MAX_LINE:,} bytes")
                continue
            try:
                yield item_of_row(where, json_object(line), self.columns, path.parent)
            except UnusableError as error:
                yield error.skipped(where)
        if not number:
            raise UnusableError(EMPTY)

    def _count(self, part: TablePart) -> int | None:
        if _kind(part.file) != "Parquet":
            return None
        try:
            with open_parquet(part.file.usable()) as table:
                sizes = group_sizes(table)
                return max(1, sum(sizes)) if part.groups is None else sum(sizes[part.groups.start : part.groups.stop])
        except UnusableError:
            return 1

    def _split(self, part: TablePart) -> list[TablePart]:
        if _kind(part.file) != "Parquet" or part.groups is not None:
            return [part]
        try:
            with open_parquet(part.file.usable()) as table:
                sizes = group_sizes(table)
        except UnusableError:
            return [part]
        parts, start, row, size = list[TablePart](), 0, 0, 0
        for group, rows in enumerate(sizes if sum(sizes) else ()):
            size += rows
            if size >= SHARD_ROWS or group == len(sizes) - 1:
                parts.append(replace(part, groups=range(start, group + 1), row=row))
                start, row, size = group + 1, row + size, 0
        return parts or [part]

    def _checked_columns(self, given: Sequence[str | None]) -> list[str]:
        """The columns that are left out of the first Parquet file that can be read."""
        for part in self.parts:
            if _kind(part.file) != "Parquet":
                continue
            try:
                with open_parquet(part.file.usable()) as table:
                    kept, left_out = kept_columns(table.schema_arrow, self.columns.images)
            except UnusableError:
                continue
            for name in given:
                if name is not None and name not in kept:
                    what = "holds bytes" if name in left_out else "is not there"
                    raise BankError(f"The column {name!r} of {part.file.name} {what}.", f"Take one of {', '.join(kept)}.")
            return left_out
        return []


def _kind(file: FoundFile) -> str:
    return "JSON Lines" if file.path.suffix.lower() in LINES else "Parquet"


def _read_lines(path: Path) -> Iterator[tuple[int, bytes | None]]:
    """(number, line) of those that are not blank; None for one that is too long. Raises UnusableError."""
    try:
        with io.BufferedReader(open_file(path), 2**20) as file:
            number = 0
            while line := file.readline(MAX_LINE + 1):
                number += 1
                long = len(line) > MAX_LINE
                while long and not line.endswith(b"\n"):
                    line = file.readline(MAX_LINE)
                    if not line:
                        break
                if long or line.strip():
                    yield number, None if long else line.removeprefix(b"\xef\xbb\xbf" if number == 1 else b"")
    except OSError as error:
        raise unreadable(error) from error
