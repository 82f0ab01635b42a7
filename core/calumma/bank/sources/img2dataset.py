"""What img2dataset writes beside each tar file: a list of its rows, those that were not downloaded too, and their number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from calumma.bank.sources.parquet import group_sizes, open_parquet, rows_of_group
from calumma.bank.sources.places import UnusableError, content_of_file, inside
from calumma.bank.sources.rows import json_object

MAX_STATS = 2**20
LISTED = 4096  # rows of the list that are in memory at once


def failed_rows(tar: Path) -> Iterator[tuple[str, str]]:
    """(key, reason) of rows that are no success. Raises UnusableError where the list cannot be read."""
    beside = tar.with_suffix(".parquet")
    if not beside.is_file():
        return
    with open_parquet(inside(tar.parent, beside)) as table:
        columns = [name for name in table.schema_arrow.names if name in ("key", "status", "error_message")]
        if not {"key", "status"} <= set(columns):
            return
        for group in range(len(group_sizes(table))):
            for row in rows_of_group(table, group, columns, LISTED):
                if isinstance(row, UnusableError):
                    raise row
                if row["status"] not in (None, "success"):
                    yield str(row["key"]), _said(row)


def row_count(tar: Path) -> int | None:
    """How many rows there were for a tar file; None where nothing beside it says so."""
    try:
        count = json_object(content_of_file(tar.with_name(f"{tar.stem}_stats.json"), MAX_STATS)).get("count")
    except UnusableError:
        return None
    return count if isinstance(count, int) and count >= 0 else None


def _said(row: Mapping[str, Any]) -> str:
    status, message = str(row["status"]).replace("_", " "), row.get("error_message")
    return f"{status}: {message}" if message else status
