"""Parquet files that anybody may have made, row group by row group: what is wrong with one becomes a phrase."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from calumma.bank.schema import require
from calumma.bank.sources.arrow_rows import BATCH, arrow_errors, rows_of
from calumma.bank.sources.places import UnusableError, unreadable
from calumma.files import open_file


@contextmanager
def open_parquet(path: Path) -> Iterator[Any]:
    """The `pyarrow.parquet.ParquetFile` of an ordinary file. Raises UnusableError."""
    parquet = require("pyarrow.parquet")
    try:
        file = open_file(path)
    except OSError as error:
        raise unreadable(error) from error
    with file:
        try:
            table = parquet.ParquetFile(file)
        except arrow_errors() as error:
            raise unreadable(error) from error
        yield table


def group_sizes(table: Any) -> list[int]:
    """How many rows each row group of a ParquetFile has."""
    return [int(table.metadata.row_group(group).num_rows) for group in range(table.num_row_groups)]


def rows_of_group(
    table: Any, group: int, columns: Sequence[str], batch: int = BATCH
) -> Iterator[Mapping[str, Any] | UnusableError]:
    """The rows of one row group. Raises UnusableError where the rest of it cannot be read."""
    batches = table.iter_batches(batch, row_groups=[group], columns=list(columns))
    while True:
        try:
            read = next(batches, None)
        except arrow_errors() as error:
            raise unreadable(error) from error
        if read is None:
            return
        yield from rows_of(read, {})
