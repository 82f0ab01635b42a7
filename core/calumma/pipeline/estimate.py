"""What drawing takes on this machine, worked out before anything is allocated: memory, tokens a second, seconds."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from calumma.interfaces import Device, Dtype, Footprint

PROBE_BYTES = 2**28
PROBE_WIDTH = 1024
REPEATS = 3


@dataclass(frozen=True)
class Machine:
    """A device as it was measured just now.

    Attributes:
        bandwidth: bytes that a product of matrix and vector reads a second. flops: of a product of matrices, a second.
        free_bytes: memory that is left.
    """

    bandwidth: float
    flops: float
    free_bytes: int


@dataclass(frozen=True)
class Estimate:
    """What n samples take at once.

    Attributes:
        rows: samples times streams. ids: most ids in a row. cache_bytes: of all rows.
        total_bytes: weights and caches. fits: whether the machine has so much.
        step_seconds: of one pass that gives each sample one id, at half of the hole. tokens_per_second: of all samples.
        seconds: prefill and all steps.
    """

    footprint: Footprint
    machine: Machine
    samples: int
    rows: int
    ids: int
    cache_bytes: int
    total_bytes: int
    step_seconds: float
    tokens_per_second: float
    seconds: float

    @property
    def fits(self) -> bool:
        return self.total_bytes <= self.machine.free_bytes


def estimate(footprint: Footprint, machine: Machine, *, samples: int, streams: int, before: int, drawn: int) -> Estimate:
    """A step is as slow as the slower of two: reading the weights once and every row's cache, or the arithmetic.

    Args:
        before: ids of a prompt with its documents, computed once a stream. drawn: ids of the hole.
    """
    rows, ids = samples * streams, before + drawn
    middle = before + drawn / 2
    reading = (footprint.weight_bytes + rows * middle * footprint.cache_bytes) / machine.bandwidth
    step = max(reading, rows * footprint.flops / machine.flops)
    prefill = max(streams * before * footprint.flops / machine.flops, footprint.weight_bytes / machine.bandwidth)
    cache = rows * ids * footprint.cache_bytes
    total = footprint.weight_bytes + cache
    return Estimate(footprint, machine, samples, rows, ids, cache, total, step, samples / step, prefill + drawn * step)


def measured(device: Device, dtype: Dtype) -> Machine:
    """Probes a device for a second or two; the best of three tries."""
    import torch

    kind = getattr(torch, dtype)
    width = int((PROBE_BYTES / torch.empty(0, dtype=kind).element_size()) ** 0.5)
    matrix, vector = torch.ones(width, width, dtype=kind, device=device), torch.ones(width, dtype=kind, device=device)
    reading = _best(lambda: torch.mv(matrix, vector), device)
    wide = PROBE_WIDTH * (1 if device == "cpu" else 8)
    square = matrix[:wide, :wide].contiguous()
    multiplying = _best(lambda: square @ square, device)
    return Machine(matrix.nbytes / reading, 2 * len(square) ** 3 / multiplying, free_bytes(device) + matrix.nbytes)


def free_bytes(device: Device) -> int:
    """Memory that is left on a device."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _best(run: Callable[[], object], device: Device) -> float:
    import torch

    times = []
    for _ in range(REPEATS + 1):
        begun = time.perf_counter()
        run()
        if device.startswith("cuda"):
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - begun)
    return min(times[1:])
