"""Kind `text_tokenizer`: texts to ids and back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from calumma.interfaces.component import Component


class TextTokenizer(Component, ABC):
    """Byte-complete: every string is encodable and `decode(encode(text)) == text`. No special ids: they are the layout's."""

    @property
    @abstractmethod
    def size(self) -> int:
        """Ids are 0 <= id < size. Known after construction (reading the vocabulary file is allowed)."""

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """Ids of a text; "" gives []."""

    @abstractmethod
    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids. Raises InputError for an id out of range."""
