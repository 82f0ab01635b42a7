"""A plugin with kinds of its own, as a local file would have it: two that finish pictures, one that only sits in a slot."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from pydantic import Field

from calumma.documents import Document, Pixels
from calumma.extension import ComponentSpec, KindSpec, hookimpl
from calumma.interfaces import Component, Finisher, Noise, Options


class FrameOptions(Options):
    """Of finishers/frame."""

    width: int = Field(2, ge=1, le=64, description="Pixels on each side.")
    grey: int = Field(0, ge=0, le=255, description="How light it is.", json_schema_extra={"meaning": True})


class Frame(Finisher):
    """Lays a border around the picture, which grows by it."""

    Options = FrameOptions
    options: FrameOptions
    warmed = 0

    def warm_up(self, device: str = "cpu", dtype: str = "float32") -> None:
        """Counts how often it is called."""
        self.warmed += 1

    def finish(self, image: Pixels, document: Document, noise: Noise, sample: int) -> Pixels:
        """The larger picture."""
        wide = self.options.width
        return np.pad(image, ((wide, wide), (wide, wide), (0, 0)), constant_values=self.options.grey)


class Note(Finisher):
    """Writes what it is told into the first pixels: the length of the prompt, the seed, the sample, and one drawn number."""

    def finish(self, image: Pixels, document: Document, noise: Noise, sample: int) -> Pixels:
        """The picture with those four numbers."""
        noted = image.copy()
        assert document.image is not None
        drawn = int(256 * noise.uniform(sample, 0, 1, purpose=7)[0])
        noted[0, 0] = len(document.text), noise.seed, sample
        noted[0, 1] = drawn
        return noted


class Clock(Component):
    """Finishes nothing."""


@hookimpl
def calumma_kinds() -> Iterator[KindSpec]:
    """Offers the kinds."""
    yield KindSpec("frame", "Borders.", "finishers:Frame")
    yield KindSpec("note", "Notes.", "finishers:Note")
    yield KindSpec("clock", "Clocks.", "finishers:Clock")


@hookimpl
def calumma_components() -> Iterator[ComponentSpec]:
    """Offers one of each."""
    yield ComponentSpec("frame", "finishers/frame", "A border.", "finishers:Frame", "finishers:FrameOptions")
    yield ComponentSpec("note", "finishers/note", "A note.", "finishers:Note", "calumma.interfaces:Options")
    yield ComponentSpec("clock", "finishers/clock", "A clock.", "finishers:Clock", "calumma.interfaces:Options")
