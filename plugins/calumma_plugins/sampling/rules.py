"""The rules: each takes the logits of one or more streams and gives the next one's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from calumma.documents import CONDITIONAL, UNCONDITIONAL, IntArray
from calumma.interfaces import Options, Rule
from calumma_plugins.sampling.options import GuidanceOptions, TemperatureOptions, TopKOptions, TopPOptions

OUT = -torch.inf
COLDEST = 1e-30  # float32 could not hold l / t below it


class Guidance(Rule):
    """Classifier-free guidance, `l = l_unc + w (l_cond - l_unc)` (Ho and Salimans 2022, arXiv:2207.12598)."""

    id = "sampling/guidance"
    Options: ClassVar[type[Options]] = GuidanceOptions
    options: GuidanceOptions

    def __init__(self, options: GuidanceOptions) -> None:
        super().__init__(options)
        self.streams = frozenset() if self.options.weight == 1 else frozenset((UNCONDITIONAL,))

    def __call__(self, logits: Mapping[str, Tensor], rows: IntArray, positions: IntArray) -> Tensor:
        conditional = logits[CONDITIONAL]
        if not self.streams:
            return conditional
        mixed = torch.lerp(logits[UNCONDITIONAL], conditional, self.options.weight)
        return mixed.masked_fill(conditional == OUT, OUT)  # what is ruled out stays out


class Temperature(Rule):
    """`l / t`; at 0, or below 1e-30, only the likeliest id stays, the first of equals."""

    id = "sampling/temperature"
    Options: ClassVar[type[Options]] = TemperatureOptions
    options: TemperatureOptions

    def __call__(self, logits: Mapping[str, Tensor], rows: IntArray, positions: IntArray) -> Tensor:
        scores = logits[CONDITIONAL]
        if self.options.temperature >= COLDEST:
            return scores / self.options.temperature
        best = (scores == scores.amax(1, keepdim=True)).int().argmax(1, keepdim=True)
        return torch.full_like(scores, OUT).scatter(1, best, 0.0)


class TopK(Rule):
    """Keeps what is at least as likely as the k-th likeliest id (Fan et al. 2018, arXiv:1805.04833)."""

    id = "sampling/top-k"
    Options: ClassVar[type[Options]] = TopKOptions
    options: TopKOptions

    def __call__(self, logits: Mapping[str, Tensor], rows: IntArray, positions: IntArray) -> Tensor:
        scores = logits[CONDITIONAL]
        least = scores.topk(min(self.options.k, scores.shape[1])).values[:, -1:]
        return scores.masked_fill(scores < least, OUT)


class TopP(Rule):
    """Nucleus: keeps the smallest set of ids with a mass of p or more, lower ids first among equals.

    Holtzman et al. 2020, arXiv:1904.09751.
    """

    id = "sampling/top-p"
    Options: ClassVar[type[Options]] = TopPOptions
    options: TopPOptions

    def __call__(self, logits: Mapping[str, Tensor], rows: IntArray, positions: IntArray) -> Tensor:
        scores = logits[CONDITIONAL]
        if self.options.p == 1:
            return scores
        ordered, order = scores.sort(dim=1, descending=True, stable=True)
        mass = ordered.double().softmax(1)
        before = mass.cumsum(1) - mass
        beyond = (before >= self.options.p).scatter(1, order, before >= self.options.p)
        return scores.masked_fill(beyond, OUT)
