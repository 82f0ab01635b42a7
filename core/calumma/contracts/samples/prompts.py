"""Documents that selections are asked about, and those that they may find."""

from __future__ import annotations

import numpy as np

from calumma.documents import Document, Hole, Image, Text

PIXELS = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)


def document_of(number: int, text: bool, image: bool) -> Document:
    """The document `d<number>` of a bank, with these parts."""
    parts: list[Text | Image] = [Text(f"document {number}")] if text else []
    pixels = np.full((4, 4, 3), 10 * number, np.uint8)
    return Document((*parts, *([Image(pixels)] if image else [])), id=f"d{number}")


def prompts() -> list[Document]:
    """One document of each sort that is asked about."""
    hole = Hole("image", (4, 4))
    words = "a red apple on a blue plate, a photograph of a red apple"
    return [
        Document((Text(words), hole)),
        Document((Image(PIXELS.copy()), Hole("text"))),
        Document((Text("make it green"), Image(PIXELS.copy()), hole), id="d3", metadata={"licence": "CC0"}),
        Document((Text("apple"), hole)),
        Document((Text("one"), Image(PIXELS.copy()), Text("two  three"), Image(PIXELS[::-1].copy()), hole)),
    ]
