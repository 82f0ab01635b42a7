"""A source that lies in parts, such as files: read one after another, and each a shard for a worker of its own."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Generic, Self, TypeVar

from calumma.bank.sources.source import Item, Skipped, Source

P = TypeVar("P")


class PartedSource(Source, Generic[P]):
    """Gives the documents of its parts in order.

    Attributes:
        parts: small values that say where each part lies.
        not_pickled: attributes that a copy elsewhere makes anew, such as an open data set.
    """

    parts: Sequence[P]
    not_pickled: ClassVar[frozenset[str]] = frozenset()

    @abstractmethod
    def read(self, part: P) -> Iterator[Item | Skipped]:
        """Documents of one part; it does not matter which others were read."""

    def __iter__(self) -> Iterator[Item | Skipped]:
        for part in self.parts:
            yield from self.read(part)

    def shards(self) -> Sequence[Source]:
        return [self.with_parts([part]) for part in self.parts]

    def with_parts(self, parts: Sequence[P]) -> Self:
        """The same source, of these parts alone."""
        shard = copy.copy(self)
        shard.parts = parts
        return shard

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in self.not_pickled}
