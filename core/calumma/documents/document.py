"""A document is a sequence of texts and images, perhaps with holes to be filled; every task is a document with a hole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
Pixels = npt.NDArray[np.uint8]
Modality = Literal["text", "image"]


@dataclass(frozen=True)
class Text:
    """A text; never empty of meaning for the layout: "" encodes to no ids at all."""

    text: str


@dataclass(frozen=True, eq=False)
class Image:
    """A picture, as pixels and as the ids that image tokenizers gave it.

    Attributes:
        pixels: uint8 [H, W, 3], sRGB; None where only ids are known.
        tokens: image tokenizer fingerprint -> codebook indices, int64 [h, w].
        masked: bool [h, w], True for cells to be drawn anew (infilling); None for none.
        uri: where the picture came from, for the record.
    """

    pixels: Pixels | None = None
    tokens: Mapping[str, IntArray] = field(default_factory=dict)
    masked: BoolArray | None = None
    uri: str | None = None

    def __repr__(self) -> str:
        facts = ["no pixels" if self.pixels is None else f"{self.pixels.shape[1]} x {self.pixels.shape[0]} pixels"]
        facts += [f"{ids.shape[0]} x {ids.shape[1]} ids of {name}" for name, ids in self.tokens.items()]
        facts += [] if self.masked is None else [f"{int(self.masked.sum())} masked"]
        return f"<Image {', '.join([*facts, *([self.uri] if self.uri else [])])}>"

    def _repr_png_(self) -> bytes | None:
        from calumma.documents.pictures import png_bytes

        return None if self.pixels is None else png_bytes(self.pixels)


@dataclass(frozen=True)
class Hole:
    """A place to be filled.

    Attributes:
        modality: what is to be put there.
        grid: (h, w) of an image hole, in codebook cells; None for a text hole.
        limit: the largest number of text ids; None lets the context decide.
    """

    modality: Modality
    grid: tuple[int, int] | None = None
    limit: int | None = None


@dataclass(frozen=True)
class Document:
    """Parts in reading order, with the caller's id and free metadata (JSON values)."""

    parts: tuple[Text | Image | Hole, ...]
    id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """All texts, joined by a space."""
        return " ".join(part.text for part in self.parts if isinstance(part, Text))

    @property
    def image(self) -> Image | None:
        """The first picture, if there is one."""
        return next((part for part in self.parts if isinstance(part, Image)), None)

    @property
    def modalities(self) -> frozenset[Modality]:
        """Which modalities the known parts have."""
        names: set[Modality] = {"text" for part in self.parts if isinstance(part, Text)}
        return frozenset(names | {"image" for part in self.parts if isinstance(part, Image)})
