"""What every verb does alike: one JSON value on stdout, everything else on stderr, one sentence for an error."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout, suppress
from typing import Any, NoReturn, TextIO

from calumma.errors import CalummaError

_json_to: list[TextIO | None] = []  # where `print_json` writes while stdout is kept for it


def print_json(value: object) -> None:
    """One JSON value on stdout."""
    out = _json_to[-1] if _json_to else sys.stdout
    if out is None:  # the caller closed it
        return
    out.write(json.dumps(value, ensure_ascii=False, allow_nan=False, indent=2 if out.isatty() else None) + "\n")
    out.flush()


@contextmanager
def stdout_for_json() -> Iterator[None]:
    """While it is open, stdout is for `print_json` alone; what libraries print there, from Python or C, goes to stderr."""
    with ExitStack() as stack:
        kept, own = sys.stdout, sys.__stdout__
        if own is not None and kept is own and sys.__stderr__ is not None:
            before = stack.enter_context(redirected(1, 2))
            kept = stack.enter_context(open(os.dup(before), "w", encoding=own.encoding, errors=own.errors))
        stack.enter_context(redirect_stdout(sys.stderr))
        _json_to.append(kept)
        stack.callback(_json_to.pop)
        yield


@contextmanager
def redirected(descriptor: int, target: int) -> Iterator[int]:
    """While it is open, what is written to a file descriptor goes where another does; gives a copy of what it was."""
    _flush()
    before = os.dup(descriptor)
    os.dup2(target, descriptor)
    try:
        yield before
    finally:
        _flush()
        os.dup2(before, descriptor)
        os.close(before)


def _flush() -> None:
    """Writes out what Python and the C library hold back, before a descriptor changes."""
    import ctypes

    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    with suppress(OSError, TypeError, AttributeError):  # no such C library on this platform
        ctypes.CDLL(None).fflush(None)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table on stdout, as wide as the terminal; nothing is cut where stdout is none."""
    from rich.console import Console
    from rich.table import Table

    from calumma.documents.printing import printable

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(printable, row))
    Console(width=None if sys.stdout.isatty() else 240, markup=False, highlight=False).print(table)


def note(message: str) -> None:
    """A line for a person, on stderr; what a bank or a file says cannot steer the terminal."""
    from calumma.documents.printing import printable

    print(printable(message), file=sys.stderr)


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
    from calumma.documents.printing import printable

    said = "calumma: " + " ".join(one for one in (message, fix) if one)
    print("\n".join(map(printable, said.split("\n"))), file=sys.stderr)
    sys.exit(code)


def progress_bar(description: str, *columns: Any, shown: bool = True) -> Any:
    """A rich progress bar on stderr, shown only on a terminal; `columns` stand in for those of a count."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    return Progress(
        TextColumn(description),
        *(columns or (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())),
        console=console,
        transient=True,
        disable=not (shown and console.is_terminal),
    )
