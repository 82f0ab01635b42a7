"""What a layout is: the two-way translation between documents and sequences of token ids."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from calumma.documents.document import Document, Image, IntArray, Modality
from calumma.errors import InputError

Task = Literal["generate", "caption", "infill", "edit", "answer"]
CONDITIONAL = "conditional"
UNCONDITIONAL = "unconditional"
IMAGE_ONLY = "image-only"
TEXT_ONLY = "text-only"


@dataclass(frozen=True, eq=False)
class TokenSequence:
    """Token ids with what training and decoding must know of each; five arrays of one length L.

    Attributes:
        ids: int64 [L].
        positions: int64 [L]; restart at 0 with each sample of a pack.
        sample: int64 [L]; attention never crosses samples.
        part: int64 [L]; index of the document part an id belongs to, -1 for retrieved documents and for structure.
        loss_weight: float32 [L]; weight of *predicting* this id.
    """

    ids: IntArray
    positions: IntArray
    sample: IntArray
    part: IntArray
    loss_weight: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.ids)


class Constraint(ABC):
    """Which ids may come next in one hole: a pure function of (offset, previous ids), with no state.

    Attributes:
        modality: what the hole is; samplers take their options for it.
        capacity: the most ids the hole takes, its closing id included.
    """

    modality: Modality
    capacity: int

    @abstractmethod
    def allowed(self, offset: int, previous: Sequence[int]) -> IntArray | None:
        """Sorted ids allowed at `offset` (0-based, after `previous`); one id is forced; None: the hole is complete.

        The same array *object* is returned wherever the same set is meant, so that a sampler can group rows by identity.
        """


class Layout(ABC):
    """Document <-> token ids for one vocabulary. Deterministic, torch-free."""

    vocabulary_size: int

    @abstractmethod
    def supports(self, task: Task) -> bool:
        """Whether documents of this task can be expressed."""

    @abstractmethod
    def encode(self, document: Document, retrieved: Sequence[Document] = ()) -> TokenSequence:
        """A whole document without holes, after its retrieved documents, as training sees it. Raises InputError."""

    @abstractmethod
    def decode(self, ids: Iterable[int]) -> Document:
        """The document of a sequence without retrieved documents; spans that were moved to the end are put back."""

    @abstractmethod
    def streams(self, document: Document, retrieved: Sequence[Document], names: Iterable[str]) -> dict[str, TokenSequence]:
        """The prompt of each named stream for the document's first hole. Raises InputError if the context is too small."""

    @abstractmethod
    def constraint(self, document: Document) -> Constraint:
        """The constraint of the document's first hole (a masked image counts as one)."""

    @abstractmethod
    def fill(self, document: Document, ids: Sequence[int]) -> Document:
        """The document with its first hole replaced by what `ids` (as the constraint let them be drawn) say."""


def codes_of(image: Image, image_tokenizer: str, grid: tuple[int, int]) -> IntArray:
    """A picture's codes int64 [h, w] by the tokenizer with this fingerprint.

    Raises InputError where it was not encoded by that one, or has another grid.
    """
    tokens = image.tokens.get(image_tokenizer)
    if tokens is None:
        raise InputError(
            f"An image has no ids of the image tokenizer {image_tokenizer}.", "Encode it with that tokenizer first."
        )
    if tokens.shape != grid:
        raise InputError(
            f"An image has {tokens.shape[0]}x{tokens.shape[1]} codes, the decoder draws {grid[0]}x{grid[1]}.",
            "Resize the picture to the tokenizer's resolution.",
        )
    return tokens
