"""A text tokenizer whose ids are the bytes of UTF-8: no vocabulary, no training, every string."""

from __future__ import annotations

from collections.abc import Sequence

from calumma.errors import InputError
from calumma.interfaces import TextTokenizer


class ByteTokenizer(TextTokenizer):
    """Id i is byte i."""

    @property
    def size(self) -> int:
        return 256

    def encode(self, text: str) -> list[int]:
        try:
            return list(text.encode())
        except UnicodeEncodeError as error:
            raise InputError("The text is not valid Unicode: it holds half of a surrogate pair.", "Remove it.") from error

    def decode(self, ids: Sequence[int]) -> str:
        for one in ids:
            if not 0 <= one < self.size:
                raise InputError(f"The text id {one} is outside of 0..{self.size - 1}.", "Decode ids of this tokenizer only.")
        return bytes(ids).decode(errors="replace")
