"""Guidance: away from what the model says without the prompt, by a weight that is constant, moves along the hole, or is two."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from calumma.documents import CONDITIONAL, IMAGE_ONLY, UNCONDITIONAL, IntArray
from calumma.interfaces import Options, Rule
from calumma_plugins.sampling.options import EditGuidanceOptions, GuidanceOptions, ScheduledGuidanceOptions
from calumma_plugins.sampling.rules import OUT


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


class ScheduledGuidance(Rule):
    """Guidance by a weight w(n) that depends on the offset n in the hole: `l = l_unc + w(n) (l_cond - l_unc)`.

    With t = min(n / (length - 1), 1), from s = `start` to w = `weight` (schedules: Wang et al. 2024, arXiv:2404.13040):
    constant w; linear s + (w - s) t; cosine s + (w - s) (1 - cos(pi t)) / 2. Outside [begin, end) it is 1, that is, off
    (a limited interval: Kynkaanniemi et al. 2024, arXiv:2404.07724). Those papers count steps of diffusion, this one ids.
    """

    id = "sampling/scheduled-guidance"
    Options: ClassVar[type[Options]] = ScheduledGuidanceOptions
    options: ScheduledGuidanceOptions

    def __init__(self, options: ScheduledGuidanceOptions) -> None:
        super().__init__(options)
        o = self.options
        off = o.weight == 1 and (o.schedule == "constant" or o.start == 1)
        self.streams = frozenset() if off else frozenset((UNCONDITIONAL,))

    def weights(self, positions: IntArray) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """w(n) for offsets int64 [R]."""
        o = self.options
        t = np.minimum(positions / max(o.length - 1, 1), 1.0)
        share = {"constant": np.ones_like(t), "linear": t, "cosine": (1 - np.cos(np.pi * t)) / 2}[o.schedule]
        inside = (positions >= o.begin) & (positions < np.inf if o.end is None else positions < o.end)
        return np.where(inside, o.start + (o.weight - o.start) * share, 1.0)

    def __call__(self, logits: Mapping[str, Tensor], rows: IntArray, positions: IntArray) -> Tensor:
        conditional = logits[CONDITIONAL]
        if not self.streams:
            return conditional
        weights = conditional.new_tensor(self.weights(positions))[:, None]
        return torch.lerp(logits[UNCONDITIONAL], conditional, weights).masked_fill(conditional == OUT, OUT)


class EditGuidance(Rule):
    """Two weights for an edit: `l = l_unc + w_img (l_img - l_unc) + w_txt (l_cond - l_img)`.

    l_img is the stream "image-only", which keeps the picture and drops the instruction (Brooks et al. 2023,
    arXiv:2211.09800, equation 3). Streams whose factor is 0 are not asked for: equal weights are plain guidance, an image
    weight of 1 needs no "unconditional".
    """

    id = "sampling/edit-guidance"
    Options: ClassVar[type[Options]] = EditGuidanceOptions
    options: EditGuidanceOptions

    def __init__(self, options: EditGuidanceOptions) -> None:
        super().__init__(options)
        image, text = self.options.image_weight, self.options.text_weight
        self.streams = frozenset(name for name, needed in ((UNCONDITIONAL, image != 1), (IMAGE_ONLY, image != text)) if needed)

    def __call__(self, logits: Mapping[str, Tensor], rows: IntArray, positions: IntArray) -> Tensor:
        conditional, image, text = logits[CONDITIONAL], self.options.image_weight, self.options.text_weight
        if not self.streams:
            return conditional
        if image == text:
            mixed = torch.lerp(logits[UNCONDITIONAL], conditional, text)
        elif image == 1:
            mixed = torch.lerp(logits[IMAGE_ONLY], conditional, text)
        else:
            kept = torch.lerp(logits[UNCONDITIONAL], logits[IMAGE_ONLY], image)
            mixed = kept + text * (conditional - logits[IMAGE_ONLY])
        return mixed.masked_fill(conditional == OUT, OUT)
