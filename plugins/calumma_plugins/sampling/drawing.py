"""One draw per row, in float64 on the CPU, from noise that knows the sample and the offset alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from calumma.documents import IntArray
from calumma.errors import FailedError
from calumma.interfaces import Noise

Mass = npt.NDArray[np.float64]


def draw(scores: torch.Tensor, noise: Noise, samples: Sequence[int], offsets: Sequence[int]) -> IntArray:
    """Inverts the cumulative distribution of each row at one uniform number; int64 [R], indexes into the columns.

    Args:
        scores: unnormalised log-probabilities [R, V]; -inf is never drawn.

    Raises:
        FailedError: a row in which nothing is left, or something is not a number.
    """
    uniform = [noise.uniform(sample, offset, 1)[0] for sample, offset in zip(samples, offsets, strict=True)]
    return invert(probabilities(scores), np.array(uniform))


def probabilities(scores: torch.Tensor) -> Mass:
    """float64 [R, V]. Raises FailedError as `draw` does."""
    mass = scores.detach().to("cpu", torch.float64).softmax(1).numpy()
    if not np.isfinite(mass).all():
        raise FailedError("The sampler's rules left no id to draw, or scores that are not numbers.", "Check `rules`.")
    found: Mass = mass
    return found


def invert(mass: Mass, uniform: Mass) -> IntArray:
    """For each row the first column whose cumulated mass exceeds uniform[i] of the whole; mass [R, V] need not sum to 1."""
    cumulated = mass.cumsum(1)
    index = (cumulated <= uniform[:, None] * cumulated[:, -1:]).sum(1)
    last = mass.shape[1] - 1 - (mass[:, ::-1] > 0).argmax(1)  # rounding must not reach beyond what has mass
    chosen: IntArray = np.minimum(index, last).astype(np.int64)
    return chosen
