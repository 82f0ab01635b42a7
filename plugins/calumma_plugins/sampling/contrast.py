"""Contrastive decoding of a model against itself: strong is what it says with the prompt, weak what it says without."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from calumma.documents import CONDITIONAL, UNCONDITIONAL, IntArray
from calumma.interfaces import Options, Rule
from calumma_plugins.sampling.options import ContrastiveOptions
from calumma_plugins.sampling.rules import OUT


class Contrastive(Rule):
    """`log p_strong(t) - log p_weak(t)` for t in V, else -inf; V = {t : p_strong(t) >= alpha * the k-th largest p_strong}.

    k = 1 is contrastive decoding (Li et al. 2022, arXiv:2210.15097), other k are CD-K (Yu et al. 2023, arXiv:2309.02591,
    3.1). p_weak is the softmax of the unconditional logits over `amateur_temperature`. What normalises each of the two moves a
    whole row, and is left out. A `sampling/temperature` after it gives softmax(score / T).
    """

    id = "sampling/contrastive"
    Options: ClassVar[type[Options]] = ContrastiveOptions
    options: ContrastiveOptions
    streams = frozenset((UNCONDITIONAL,))

    def __call__(self, logits: Mapping[str, Tensor], rows: IntArray, positions: IntArray) -> Tensor:
        strong, o = logits[CONDITIONAL], self.options
        kth = strong.topk(min(o.k, strong.shape[1])).values[:, -1:]
        least = kth + (math.log(o.alpha) if o.alpha else OUT)
        score = strong - logits[UNCONDITIONAL] / o.amateur_temperature
        return score.masked_fill((strong < least) | (strong == OUT), OUT)
