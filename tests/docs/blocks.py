"""The fenced blocks of a page, each with the paragraph before it, which says what the block is for."""

from __future__ import annotations

import re
from dataclasses import dataclass

LANGUAGES = ("python", "sh", "yaml", "toml", "json", "diff", "text")
_FENCE = re.compile(r"^```(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"`([\w./-]+\.(?:py|ya?ml|toml|json|jsonl|csv|md))`")


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Attributes:
        before: the paragraph that leads to it; a file that it names before its closing colon is where the block belongs.
        line: of the opening fence, 1-based.
    """

    language: str
    content: str
    before: str
    line: int

    @property
    def file(self) -> str | None:
        """The file that the paragraph before names last, where it ends with a colon: "In `mine.yaml`:"."""
        names = _FILE.findall(self.before)
        return names[-1] if names and self.before.endswith(":") else None

    @property
    def quotes(self) -> bool:
        """Whether it shows what a file says already: "`pyproject.toml` says:"."""
        return self.file is not None and self.before.endswith("says:")


def blocks(text: str) -> list[Block]:
    """All blocks of a page. Raises ValueError for a fence that is not one: indented, unclosed, of no known language."""
    found = []
    for match in _FENCE.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        if match[1] not in LANGUAGES:
            raise ValueError(f"line {line}: nobody runs a block of {match[1] or 'no language'}")
        before = text[: match.start()].rstrip().rpartition("\n\n")[2]
        found.append(Block(match[1], match[2], before, line))
    if len(re.findall(r"^\s*(?:```|~~~)", text, re.MULTILINE)) != 2 * len(found):
        raise ValueError("a fence is indented, unclosed, or made of ~~~")
    return found
