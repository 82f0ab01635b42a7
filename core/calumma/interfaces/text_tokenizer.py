"""Kind `text_tokenizer`: texts to ids and back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from calumma.errors import InputError
from calumma.interfaces.component import Component


class TextTokenizer(Component, ABC):
    """Byte-complete: every string is encodable and `decode(encode(text)) == text`. No special ids: they are the layout's.

    A string is valid Unicode: half of a surrogate pair, which Python's str can hold and UTF-8 cannot, is refused.
    """

    @property
    @abstractmethod
    def size(self) -> int:
        """Ids are 0 <= id < size. Known after construction (reading the vocabulary file is allowed)."""

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """Ids of a text, none for "". Raises InputError for half of a surrogate pair."""

    @abstractmethod
    def decode(self, ids: Sequence[int]) -> str:
        """The text of any ids; bytes that are no UTF-8 become U+FFFD. Raises InputError for an id out of range."""

    # --- what tokenizers check alike ---

    def check_text(self, text: str) -> None:
        """Raises InputError for half of a surrogate pair."""
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InputError("The text is not valid Unicode: it holds half of a surrogate pair.", "Remove it.") from error

    def checked_ids(self, ids: Sequence[int]) -> list[int]:
        """The ids as numbers of Python. Raises InputError for one out of range."""
        numbers, size = [int(one) for one in ids], self.size
        for one in numbers:
            if not 0 <= one < size:
                raise InputError(f"The text id {one} is outside of 0..{size - 1}.", "Decode ids of this tokenizer only.")
        return numbers
