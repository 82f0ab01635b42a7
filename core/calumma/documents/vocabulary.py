"""CM3Leon's ids (arXiv:2309.02591, 2.1): text, then image, then every special id ever needed, so that weights stay valid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from calumma.documents.document import BoolArray, IntArray
from calumma.errors import InputError

SENTINELS = 512
SPECIALS = ("<pad>", "<eos>", "<break>", "<infill>", "<eoss>")


@dataclass(frozen=True)
class Vocabulary:
    """Ids 0 <= id < `size`: text [0, T), image [T, T + K), the specials, then `<mask:0>` to `<mask:511>`.

    Attributes:
        text_size: T, the number of text ids.
        codebook_size: K, the number of codes of the image tokenizer.
    """

    text_size: int
    codebook_size: int

    def __post_init__(self) -> None:
        if self.text_size < 1 or self.codebook_size < 1:
            raise InputError(
                f"A vocabulary of {self.text_size} text ids and {self.codebook_size} codes is empty.",
                "Both sizes are at least 1.",
            )

    @property
    def content_size(self) -> int:
        """T + K: ids below it are text or image, ids from it on are structure."""
        return self.text_size + self.codebook_size

    @property
    def size(self) -> int:
        """Number of all ids."""
        return self.content_size + len(SPECIALS) + SENTINELS

    @property
    def pad(self) -> int:
        """Fills rows up; never predicted."""
        return self.content_size

    @property
    def eos(self) -> int:
        """Opens and closes a sequence."""
        return self.content_size + 1

    @property
    def break_(self) -> int:
        """`<break>`: a change of modality, and the end of a retrieved document."""
        return self.content_size + 2

    @property
    def infill(self) -> int:
        """Stands between the body and the spans that were moved out of it."""
        return self.content_size + 3

    @property
    def eoss(self) -> int:
        """Closes a moved span."""
        return self.content_size + 4

    def mask(self, index: int) -> int:
        """`<mask:index>`, 0 <= index < 512. Raises InputError beyond."""
        if not 0 <= index < SENTINELS:
            raise InputError(f"There is no <mask:{index}>.", f"A sequence has at most {SENTINELS} masks.")
        return self.content_size + len(SPECIALS) + index

    def text(self, ids: Sequence[int] | IntArray) -> IntArray:
        """The ids of a text tokenizer as ids of this vocabulary, int64 [n]. Raises InputError for one out of range."""
        return _checked(ids, self.text_size, "text id")

    def image(self, codes: Sequence[int] | IntArray) -> IntArray:
        """Codebook indices of any shape as ids, int64 [n] in raster order. Raises InputError for one out of range."""
        return _checked(codes, self.codebook_size, "code") + self.text_size

    def codes(self, ids: IntArray) -> IntArray:
        """The inverse of `image`. Raises InputError for an id that is not an image's."""
        return _checked(np.asarray(ids, np.int64) - self.text_size, self.codebook_size, "image id (counted from the first)")

    @cached_property
    def text_ids(self) -> IntArray:
        """All text ids, read-only."""
        return _frozen(np.arange(self.text_size))

    @cached_property
    def image_ids(self) -> IntArray:
        """All image ids, read-only."""
        return _frozen(np.arange(self.text_size, self.content_size))

    def is_text(self, ids: IntArray) -> BoolArray:
        """Which ids are text."""
        return (ids >= 0) & (ids < self.text_size)

    def is_image(self, ids: IntArray) -> BoolArray:
        """Which ids are codes of an image."""
        return (ids >= self.text_size) & (ids < self.content_size)

    def is_mask(self, ids: IntArray) -> BoolArray:
        """Which ids are mask sentinels."""
        return (ids >= self.content_size + len(SPECIALS)) & (ids < self.size)

    def name(self, id: int) -> str:
        """How an id is written in messages: `text:7`, `image:7`, `<break>`, `<mask:0>`."""
        if 0 <= id < self.text_size:
            return f"text:{id}"
        if id < self.content_size:
            return f"image:{id - self.text_size}"
        special = id - self.content_size
        return SPECIALS[special] if special < len(SPECIALS) else f"<mask:{special - len(SPECIALS)}>"


def _checked(ids: Sequence[int] | npt.NDArray[np.integer], size: int, what: str) -> IntArray:
    array = np.asarray(ids, np.int64).reshape(-1)
    if len(array) and (array.min() < 0 or array.max() >= size):
        culprit = int(array[(array < 0) | (array >= size)][0])
        raise InputError(
            f"There is no {what} {culprit}; there are {size}.", "Use the tokenizers that the decoder was trained with."
        )
    return array


def _frozen(ids: npt.NDArray[np.integer]) -> IntArray:
    array = ids.astype(np.int64)
    array.flags.writeable = False
    return array
