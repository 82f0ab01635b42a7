"""How far a picture is drawn, told by the number of its ids, and what it looks like so far."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from calumma.documents import Constraint, Document, Hole, Image, IntArray, Layout, Pixels
from calumma.interfaces import ImageTokenizer
from calumma.pipeline.images import decode_picture

GREY = 128  # what is not drawn yet


class Cells:
    """The cells of one hole in a picture's code grid. They are drawn in raster order, one at each offset with a choice.

    Args:
        document: with a hole for an image, or with masked cells, as its first hole.
        grid: (h, w) of a picture, in codes.

    Attributes:
        rows: how many rows of the grid have cells that are drawn; 0 where the hole is a text, or where its constraint lets
            more or fewer ids be chosen than there are cells.
    """

    def __init__(self, document: Document, grid: tuple[int, int], constraint: Constraint) -> None:
        self._place, masked = _hole(document)
        self._mask = np.ones(grid, bool) if masked is None else masked
        self._constraint = constraint
        offsets = _choices(constraint) if constraint.modality == "image" else []
        known = len(offsets) == int(self._mask.sum())
        self._offsets = np.array(offsets if known else [], np.int64)
        per_row = self._mask.sum(1)
        self._ends = per_row[per_row > 0].cumsum() if known else np.zeros(0, np.int64)
        self.rows = len(self._ends)

    def finished_rows(self, ids: int) -> int:
        """How many of `rows` are drawn to their end after this many ids."""
        return int(np.searchsorted(self._ends, self._drawn(ids), side="right"))

    def so_far(self, document: Document, layout: Layout, tokenizer: ImageTokenizer, ids: Sequence[int]) -> Pixels:
        """The picture uint8 [H, W, 3] after these ids, grey where it is not drawn yet."""
        whole = list(ids)
        while (allowed := self._constraint.allowed(len(whole), whole)) is not None:
            whole.append(int(allowed[0]))
        codes = self.codes(layout.fill(document, whole), tokenizer.fingerprint()).copy()
        left = self._mask.copy()
        left[tuple(np.argwhere(self._mask)[: self._drawn(len(ids))].T)] = False
        given = document.parts[self._place]
        before = given.tokens.get(tokenizer.fingerprint()) if isinstance(given, Image) else None
        if before is not None:
            codes[left] = before[left]
        else:  # neighbours of what is drawn look the better for having the same codes beside them
            for row in range(1, len(codes)):
                codes[row] = np.where(left[row], codes[row - 1], codes[row])
        pixels = decode_picture(tokenizer, codes).copy()
        height, width = pixels.shape[:2]
        down = np.arange(height) * len(codes) // height
        across = np.arange(width) * codes.shape[1] // width
        pixels[left[down][:, across]] = GREY
        return pixels

    def codes(self, filled: Document, fingerprint: str) -> IntArray:
        """Codes int64 [h, w] of the picture that stands where the hole was."""
        image = filled.parts[self._place]
        assert isinstance(image, Image)
        return image.tokens[fingerprint]

    def _drawn(self, ids: int) -> int:
        return int(np.searchsorted(self._offsets, ids))


def _hole(document: Document) -> tuple[int, np.ndarray | None]:
    """Where the first hole stands among the parts, and its masked cells if it is an image."""
    for place, part in enumerate(document.parts):
        if isinstance(part, Hole):
            return place, None
        if isinstance(part, Image) and part.masked is not None and part.masked.any():
            return place, part.masked
    raise AssertionError("the layout has found a hole")


def _choices(constraint: Constraint) -> list[int]:
    """The offsets at which more than one id is allowed."""
    previous: list[int] = []
    found = []
    while (allowed := constraint.allowed(len(previous), previous)) is not None:
        if len(allowed) > 1:
            found.append(len(previous))
        previous.append(int(allowed[0]))
    return found
