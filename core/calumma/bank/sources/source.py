"""What a source is: an iterable of documents as they were found, and of those that could not be used, with the reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True)
class Item:
    """A document before it is embedded.

    Attributes:
        name: what to call it in a report, such as its file's path.
        text: "" for a picture alone. image: bytes of a picture file, None for a text alone.
        id: the caller's; None gives the content's hash.
    """

    name: str
    text: str
    image: bytes | None = None
    id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Skipped:
    """A document that was left out, and why, as a phrase."""

    name: str
    reason: str


class Source(Protocol):
    """Anything that can be iterated, again and again with the same result; `__len__` is for progress alone."""

    def __iter__(self) -> Iterator[Item | Skipped]:
        """Documents in a fixed order. Raises BankError only where nothing can be read at all."""
        ...

    def __len__(self) -> int:
        """How many will come."""
        ...
