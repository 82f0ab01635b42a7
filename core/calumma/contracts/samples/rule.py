"""A rule in its plainest form: what it returns, the next rule gets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import Field

from calumma.documents import CONDITIONAL, IntArray
from calumma.interfaces import Options, Rule


class SharpenOptions(Options):
    power: float = Field(
        2.0, gt=0, le=8, description="1 changes nothing, more is sharper.", json_schema_extra={"meaning": True}
    )


class SharpenRule(Rule):
    """Raises the probabilities to a power."""

    id = "samples/rule"
    Options: ClassVar[type[Options]] = SharpenOptions
    options: SharpenOptions

    def __call__(self, logits: Mapping[str, torch.Tensor], rows: IntArray, positions: IntArray) -> torch.Tensor:
        return logits[CONDITIONAL] * self.options.power
