"""What a source is: documents as they were found, and those that could not be used, with the reason."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from calumma.interfaces import Vectors


@dataclass(frozen=True)
class Item:
    """A document before it is embedded.

    Attributes:
        name: what to call it in a report, such as its file's path; no other item of the source has it.
        text: "" for a picture alone. image: bytes of a picture file, None for a text alone.
        id: the caller's; None gives the content's hash.
        text_vector, image_vector: float32 [dimension], of a source that was embedded before (`Source.embedded`).
    """

    name: str
    text: str
    image: bytes | None = None
    id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    text_vector: Vectors | None = field(default=None, compare=False)
    image_vector: Vectors | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Skipped:
    """A document, or a whole shard, that was left out, and why, as a phrase."""

    name: str
    reason: str


class Source(ABC):
    """Can be iterated again and again with the same result, in bounded memory; picklable, so that a shard may go elsewhere.

    Attributes:
        name: what people call it: the path that was given, absolute.
        format: what it was recognised as, as a sentence.
        embedded: its items bring their vectors, by an encoder that whoever opened it must name.
    """

    name: str
    format: str = ""
    embedded: bool = False

    @abstractmethod
    def __iter__(self) -> Iterator[Item | Skipped]:
        """Documents in a fixed order. Raises BankError only where nothing can be read at all."""

    def count(self) -> int | None:
        """How many will come, for progress alone; None where that would take a pass over all of them."""
        return None

    def shards(self) -> Sequence[Source]:
        """Sources that, one after another, give the same documents in the same order; for several workers."""
        return [self]
