"""Kind `embedder`: texts, pictures and documents to vectors of one space."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from calumma.documents.document import Document, Pixels
from calumma.errors import InputError
from calumma.interfaces.component import Component

Vectors = npt.NDArray[np.float32]


class Embedder(Component, ABC):
    """All methods return float32 [N, dimension] with rows of length 1 (to 1e-5); row i depends on input i alone.

    Attributes:
        dimension: known before weights load.
    """

    dimension: int

    @abstractmethod
    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """Vectors of texts."""

    @abstractmethod
    def embed_images(self, images: Sequence[Pixels]) -> Vectors:
        """Vectors of pictures, each uint8 [H, W, 3] of any size."""

    def prepare_image(self, pixels: Pixels) -> Any:
        """What `embed_prepared` takes of one picture: all that can be done before a model sees it, such as resizing.

        Several threads may call it at once, while another embeds.
        """
        return pixels

    def embed_prepared(self, images: Sequence[Any]) -> Vectors:
        """The vectors that `embed_images` gives, of pictures from `prepare_image`. Who overrides one overrides both."""
        return self.embed_images(images)

    def embed_documents(self, documents: Sequence[Document]) -> Vectors:
        """CM3Leon 2.1: text and first image apart, each of length 1, averaged; then of length 1 again.

        Raises InputError for a document with neither.
        """
        rows = np.zeros((len(documents), self.dimension), np.float32)
        with_text = [i for i, document in enumerate(documents) if document.text]
        images = {i: document.image.pixels for i, document in enumerate(documents) if document.image is not None}
        with_image = {i: pixels for i, pixels in images.items() if pixels is not None}
        for i, document in enumerate(documents):
            if not document.text and i not in with_image:
                raise InputError(f"Document {document.id!r} has neither text nor pixels to embed.")
        if with_text:
            rows[with_text] += self.embed_texts([documents[i].text for i in with_text])
        if with_image:
            rows[list(with_image)] += self.embed_images(list(with_image.values()))
        return normalised(rows)


def normalised(rows: Vectors) -> Vectors:
    """Rows scaled to length 1; a row of zeros stays."""
    lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
    return np.asarray(rows / np.maximum(lengths, np.finfo(np.float32).tiny), np.float32)
