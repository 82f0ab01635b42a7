"""An embedder without weights: words are hashed to directions, and a picture is the colours in it, by the words for them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
from pydantic import Field

from calumma.documents import Pixels
from calumma.interfaces import Embedder, Options, Vectors, normalised

COLOURS = {
    "black": (0, 0, 0),
    "grey": (128, 128, 128),
    "white": (255, 255, 255),
    "red": (220, 30, 30),
    "green": (30, 180, 30),
    "blue": (30, 60, 220),
    "yellow": (240, 220, 40),
    "orange": (240, 140, 30),
    "purple": (140, 40, 180),
    "brown": (130, 80, 40),
}


class HashOptions(Options):
    dimension: int = Field(64, ge=8, le=4096, description="Length of a vector.", json_schema_extra={"meaning": True})


class HashEmbedder(Embedder):
    """A text that says "red" lies near a picture of red, because both are sums of the directions of their words."""

    Options = HashOptions
    options: HashOptions

    def __init__(self, options: HashOptions) -> None:
        super().__init__(options)
        self.dimension = options.dimension

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        return self._rows([self._direction(word) for word in text.split() or [""]] for text in texts)

    def embed_images(self, images: Sequence[Pixels]) -> Vectors:
        names = [self._direction(name) for name in COLOURS]
        return self._rows(_shares(pixels)[:, None] * names for pixels in images)

    def _rows(self, summands: Iterable[Sequence[npt.NDArray[np.float64]] | npt.NDArray[np.float64]]) -> Vectors:
        rows = [np.sum(one, axis=0) for one in summands]
        return normalised(np.array(rows, np.float32).reshape(len(rows), self.dimension))

    def _direction(self, word: str) -> npt.NDArray[np.float64]:
        """A vector that depends on the word alone, of length about 1."""
        digest = hashlib.shake_256(word.encode("utf-8", "surrogatepass")).digest(2 * self.dimension)
        return np.frombuffer(digest, "<i2").astype(np.float64) / (32768 * math.sqrt(self.dimension / 3))


def _shares(pixels: Pixels) -> npt.NDArray[np.float64]:
    """How near a picture's pixels are to each of COLOURS, on average: above 0, and all together 1."""
    palette = np.array(list(COLOURS.values()), np.float64)
    counts: npt.NDArray[np.float64] = np.zeros(len(palette))
    for row in pixels:  # row by row, so that a large picture needs little memory
        distances = np.linalg.norm(row[:, None, :] - palette, axis=-1)
        nearness = np.exp(-distances / 32)
        counts += (nearness / nearness.sum(-1, keepdims=True)).sum(0)
    return np.asarray(counts / counts.sum())
