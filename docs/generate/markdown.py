"""Words for Markdown: tables whose cells may hold anything, fenced blocks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table and the empty line after it; nothing where there are no rows."""
    lines = [_row(row) for row in rows]
    return [_row(columns), _row(["---"] * len(columns)), *lines, ""] if lines else []


def fence(language: str, content: str) -> list[str]:
    """A fenced block and the empty line after it."""
    return [f"```{language}", content.strip("\n"), "```", ""]


def prose(text: str) -> str:
    """A docstring's sentences as one line of Markdown: what looks like HTML, such as <eos>, is text."""
    pieces = re.split(r"(`[^`]*`)", " ".join(text.split()))
    return "".join(piece if i % 2 else piece.replace("<", "\\<") for i, piece in enumerate(pieces))


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(prose(cell).replace("|", "\\|") for cell in cells) + " |"
