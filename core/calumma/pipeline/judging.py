"""Best of n: the picture that the embedder finds nearest to the prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from calumma.documents import Pixels
from calumma.errors import ComponentError

if TYPE_CHECKING:
    from calumma.interfaces import Embedder


class Judge:
    """Scores pictures by the cosine of their embedding and the prompt's.

    Raises ComponentError where the embedder has no vectors for pictures; that is found out before anything is drawn.
    """

    def __init__(self, embedder: Embedder, prompt: str) -> None:
        self._embedder = embedder
        self._prompt = np.asarray(embedder.embed_texts([prompt])[0], np.float64)
        try:
            self.score(np.full((8, 8, 3), 255, np.uint8))
        except Exception as error:
            raise ComponentError(
                f"The best of several samples is the one that the embedder scores highest, and {embedder.id} cannot embed "
                f"a picture: {type(error).__name__}: {str(error).rstrip('.')}.",
                "Draw without --best-of (best_of=1), or pick an embedder of texts and pictures.",
            ) from error

    def score(self, pixels: Pixels) -> float:
        """From -1 to 1. One picture at a time, so that the last bits do not depend on what it is embedded with."""
        return float(np.dot(self._prompt, np.asarray(self._embedder.embed_images([pixels])[0], np.float64)))
