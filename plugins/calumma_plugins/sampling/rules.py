"""The rules that look at one distribution alone: temperature, and what cuts its tail off."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from calumma.documents import CONDITIONAL, IntArray
from calumma.interfaces import Options, Rule
from calumma_plugins.sampling.options import MinPOptions, TemperatureOptions, TopKOptions, TopPOptions

OUT = -torch.inf
COLDEST = 1e-30  # float32 could not hold l / t below it


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
        if scores.device.type == "cpu" and scores.dtype == torch.float32:
            ordered = torch.from_numpy(np.sort(scores.detach().numpy(), axis=1))  # several times faster than torch
        else:
            ordered = scores.sort(dim=1).values
        mass = ordered.double().softmax(1).flip(1)
        kept = (mass.cumsum(1) - mass < self.options.p).sum(1, keepdim=True)
        least = ordered.gather(1, ordered.shape[1] - kept)
        beyond = scores < least
        surplus = beyond.logical_not().sum(1, keepdim=True) - kept  # equals of the last one kept
        if surplus.any():
            equal = scores == least
            beyond |= equal & (equal.cumsum(1) > equal.sum(1, keepdim=True) - surplus)
        return scores.masked_fill(beyond, OUT)


class MinP(Rule):
    """Keeps the ids with `p >= min_p * the largest p` (Nguyen et al. 2024, arXiv:2407.01082); 0 keeps all."""

    id = "sampling/min-p"
    Options: ClassVar[type[Options]] = MinPOptions
    options: MinPOptions

    def __call__(self, logits: Mapping[str, Tensor], rows: IntArray, positions: IntArray) -> Tensor:
        scores, share = logits[CONDITIONAL], self.options.min_p
        if share == 0:
            return scores
        return scores.masked_fill(scores < scores.amax(1, keepdim=True) + math.log(share), OUT)
