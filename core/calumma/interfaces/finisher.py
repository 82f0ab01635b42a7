"""What a new kind of component inherits to have the last word on drawn pictures: a watermark, an upscaler, a frame."""

from __future__ import annotations

from abc import ABC, abstractmethod

from calumma.documents.document import Document, Pixels
from calumma.interfaces.component import Component
from calumma.interfaces.noise import Noise


class Finisher(Component, ABC):
    """No kind itself. A pipeline applies each extra slot that holds one to every picture, in the order of the slots.

    Pure: the same arguments give the same pixels, whatever was finished before; `image` is not written to.
    """

    @abstractmethod
    def finish(self, image: Pixels, document: Document, noise: Noise, sample: int) -> Pixels:
        """The picture as the next finisher, or the user, gets it. Raises CalummaError where it cannot be finished.

        Args:
            image: uint8 [H, W, 3], decoded and, in an infilling, pasted.
            document: what was asked for with its hole filled: the prompt, and the ids that were drawn.
            noise, sample: the request's randomness and the picture's place in it; draw with a `purpose` of your own.

        Returns uint8 [H', W', 3]; the size may differ.
        """
