"""What every verb does alike: one JSON value on stdout, everything else on stderr, one sentence for an error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from calumma.errors import CalummaError


def print_json(value: object) -> None:
    """One JSON value on stdout."""
    print(json.dumps(value, ensure_ascii=False, allow_nan=False, indent=2 if sys.stdout.isatty() else None))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table on stdout, as wide as the terminal; nothing is cut where stdout is none."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 240, markup=False, highlight=False).print(table)


def note(message: str) -> None:
    """A line for a person, on stderr."""
    print(message, file=sys.stderr)


def fail(error: BaseException, as_json: bool, debug: bool) -> NoReturn:
    """Prints an error and exits: 2 for wrong input, 1 for work that failed; the traceback only with --debug."""
    if debug:
        import traceback

        traceback.print_exception(error)
    if isinstance(error, CalummaError):
        message, fix, code = error.message, error.fix, error.exit_code
    else:
        message = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        fix, code = "This should not have happened; --debug shows the traceback.", 1
    if as_json:
        print_json({"error": {"message": message, "fix": fix}})
    print("calumma: " + " ".join(one for one in (message, fix) if one), file=sys.stderr)
    sys.exit(code)


def progress_bar(description: str) -> Any:
    """A rich progress bar on stderr, shown only on a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    return Progress(
        TextColumn(description),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
