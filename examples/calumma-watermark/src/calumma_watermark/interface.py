"""Kind `watermark`: what can be read back from a finished picture by a program, and not be seen by a person."""

from __future__ import annotations

from abc import ABC, abstractmethod

from calumma.documents import Pixels
from calumma.interfaces import Finisher


class Watermark(Finisher, ABC):
    """A finisher, so that a pipeline with a slot for it marks each picture that it draws.

    `finish` keeps the size and changes no channel of a pixel by more than 1; it raises InputError where the picture is
    too small for the message.
    """

    @property
    @abstractmethod
    def message(self) -> str:
        """What `finish` writes; never empty."""

    @abstractmethod
    def read(self, image: Pixels) -> str | None:
        """The message in a picture uint8 [H, W, 3], whoever wrote it; None where there is none, or a damaged one."""
