"""Kind `rule`: one small step from the logits of streams to the distribution that is drawn from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING

from calumma.documents.document import IntArray
from calumma.interfaces.component import Component

if TYPE_CHECKING:
    import torch


class Rule(Component, ABC):
    """Pure, row by row. Rules run in order; what one returns is the next one's `logits["conditional"]`, other streams stay.

    Attributes:
        streams: the streams that must be there beside "conditional", such as {"unconditional"}.
    """

    streams: frozenset[str] = frozenset()

    @abstractmethod
    def __call__(self, logits: Mapping[str, torch.Tensor], rows: IntArray, positions: IntArray) -> torch.Tensor:
        """Unnormalised log-probabilities float32 [R, V] over the ids the constraint allows.

        Args:
            logits: stream -> float32 [R, V], already gathered to the allowed ids; -inf marks what an earlier rule ruled out.
            rows: int64 [R], sample indexes. positions: int64 [R], offsets in the hole.

        Never rules out everything: at least one entry of each row is finite.
        """
