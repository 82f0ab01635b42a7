"""Kind `sampler`: the loop that fills holes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from calumma.documents.document import IntArray, Modality
from calumma.documents.layout import Constraint
from calumma.interfaces.component import Component
from calumma.interfaces.decoder import Decoder, DecoderCapability
from calumma.interfaces.noise import Noise
from calumma.interfaces.rule import Rule


@dataclass(frozen=True, eq=False)
class Progress:
    """State of the holes after a step; the last one has all rows finished.

    Attributes:
        ids: per row, the ids drawn so far (closing ids included).
        finished: per row, whether its hole is complete.
        done, total: steps made and steps expected at most.
        passes: forward passes of the decoder so far.
    """

    ids: tuple[IntArray, ...]
    finished: tuple[bool, ...]
    done: int
    total: int
    passes: int


class Sampler(Component, ABC):
    """Draws ids for R holes at once. Row i depends on its own prompts, constraint and sample index alone."""

    @property
    def needs(self) -> frozenset[DecoderCapability]:
        """What a decoder must be able to do for it; a pipeline asks before anything is drawn."""
        return frozenset()

    @abstractmethod
    def rules(self, modality: Modality) -> list[Rule]:
        """The rules that its options mean for holes of this modality, in order."""

    @abstractmethod
    def fill(
        self,
        decoder: Decoder,
        streams: Mapping[str, Sequence[IntArray]],
        constraints: Sequence[Constraint],
        rules: Sequence[Rule],
        noise: Noise,
        samples: Sequence[int],
    ) -> Iterator[Progress]:
        """Fills R holes.

        Args:
            streams: stream -> R prompts; "conditional" and what the rules name. Equal prompts are prefilled once.
            constraints: R constraints, all of one modality.
            samples: R sample indexes, for the noise.

        Raises ComponentError where a stream that a rule needs is missing, FailedError where rules leave nothing to draw.
        """
