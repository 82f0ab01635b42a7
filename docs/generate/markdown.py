"""Words for Markdown: tables whose cells may hold anything, fenced blocks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table and the empty line after it; nothing where there are no rows."""
    lines = [_row(row) for row in rows]
    return [_row(columns), _row(["---"] * len(columns)), *lines, ""] if lines else []


def fence(language: str, content: str) -> list[str]:
    """A fenced block and the empty line after it."""
    return [f"```{language}", content.strip("\n"), "```", ""]


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"
