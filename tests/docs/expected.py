"""Does what was printed, or what lies in a file, match what the page shows? `...` stands for anything."""

from __future__ import annotations

import re


def matches(shown: str, printed: str) -> bool:
    """Line by line, spaces folded; `...` in a line is any text, a line of `...` alone any lines."""
    lines = [" ".join(line.split()) for line in shown.strip().splitlines()]
    pattern = "".join(r"(?:.*\n)*?" if line == "..." else _line(line) + r"\n" for line in lines)
    folded = "".join(" ".join(line.split()) + "\n" for line in printed.strip().splitlines())
    return re.fullmatch(pattern, folded) is not None


def holds(shown: str, content: str) -> bool:
    """The same, but for an excerpt: the lines stand somewhere in `content`."""
    return matches(f"...\n{shown.strip()}\n...", content)


def subset(shown: object, there: object) -> bool:
    """Whether all that `shown` has, `there` has too; `"..."` is any value."""
    if isinstance(shown, dict):
        return isinstance(there, dict) and all(key in there and subset(one, there[key]) for key, one in shown.items())
    if isinstance(shown, list):
        same = isinstance(there, list) and len(there) == len(shown)
        return same and all(subset(one, other) for one, other in zip(shown, there, strict=True))  # both are lists here
    return shown == "..." or shown == there


def _line(line: str) -> str:
    return "[^\n]*".join(re.escape(piece) for piece in line.split("..."))
