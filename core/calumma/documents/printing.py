"""Texts from banks and models as they may be put on a terminal: what would move the cursor or recolour it is shown instead."""

from __future__ import annotations


def printable(text: str) -> str:
    """The text with control characters, line breaks included, written as escapes such as `\\x1b`."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)
