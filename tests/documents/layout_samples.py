"""A byte tokenizer, small documents, and ids written out, for the tests of layouts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from calumma.documents import CM3LeonLayout, Document, Image

GRID = (3, 4)
CODES = 10
PRINT = "taming/vqgan#0123456789abcdef"


class Bytes:
    """UTF-8 bytes as ids."""

    size = 256

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def decode(self, ids: Sequence[int]) -> str:
        return bytes(ids).decode(errors="replace")


def image(seed: int = 0) -> Image:
    return Image(tokens={PRINT: np.random.default_rng(seed).integers(0, CODES, GRID)})


def same(one: Document, other: Document) -> bool:
    """Documents hold arrays, so they are compared part by part."""
    if len(one.parts) != len(other.parts):
        return False
    for a, b in zip(one.parts, other.parts, strict=True):
        if isinstance(a, Image) and isinstance(b, Image):
            if not np.array_equal(a.tokens[PRINT], b.tokens[PRINT]):
                return False
        elif a != b:
            return False
    return True


def written(layout: CM3LeonLayout, ids: np.ndarray) -> str:
    """Ids as one would write them on paper: text as itself, runs of image ids as I*n."""
    words: list[str] = []
    for id in ids.tolist():
        name = layout.vocabulary.name(id)
        if name.startswith("text:"):
            words.append(chr(id))
        elif name.startswith("image:"):
            words.append("I")
        else:
            words.append(name)
    return " ".join(words)
