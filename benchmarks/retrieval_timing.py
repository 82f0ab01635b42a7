"""Timing two ways of doing the same in interleaved pairs, so that a busy machine slows both alike: only ratios count."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

RESAMPLES = 2000
WARM_UP = 10


@dataclass(frozen=True)
class Pairs:
    """Seconds of both ways, pair by pair."""

    ours: list[float]
    raw: list[float]

    def ratio(self) -> dict[str, Any]:
        """Median of ours / raw with its 95 % interval, by bootstrap."""
        ratios = np.array(self.ours) / np.array(self.raw)
        return {"ratio": _digits(float(np.median(ratios))), "interval": [_digits(one) for one in _interval(ratios)]}

    def added(self) -> dict[str, Any]:
        """Median of ours - raw in microseconds with its 95 % interval, by bootstrap."""
        more = (np.array(self.ours) - np.array(self.raw)) * 1e6
        return {"added_us": _digits(float(np.median(more))), "added_interval": [_digits(one) for one in _interval(more)]}

    def medians(self) -> tuple[float, float]:
        """Of the seconds of ours and raw."""
        return statistics.median(self.ours), statistics.median(self.raw)


def interleaved(ours: Callable[[int], object], raw: Callable[[int], object], batches: int, pairs: int, *, prime: bool) -> Pairs:
    """Times both on the same batch, one right after the other, and takes turns at going first.

    Args:
        ours, raw: what to do with batch number 0 .. batches - 1.
        prime: do it once before each pair, untimed: else the second finds in the caches what the first put there.
    """
    times = Pairs([], [])
    for pair in range(-min(WARM_UP, pairs // 10), pairs):
        batch = pair % batches
        if prime:
            raw(batch)
        taken = {}
        for name, call in (("ours", ours), ("raw", raw))[:: 1 if pair % 2 else -1]:
            started = time.perf_counter()
            call(batch)
            taken[name] = time.perf_counter() - started
        if pair >= 0:
            times.ours.append(taken["ours"])
            times.raw.append(taken["raw"])
    return times


def seconds(call: Callable[[], object]) -> float:
    """Wall-clock time of one call."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _interval(values: np.ndarray) -> Sequence[float]:
    draw = np.random.default_rng(0)
    medians = np.median(values[draw.integers(0, len(values), (RESAMPLES, len(values)))], axis=1)
    return [float(one) for one in np.quantile(medians, [0.025, 0.975])]


def _digits(value: float) -> float:
    return float(f"{value:.4g}")
