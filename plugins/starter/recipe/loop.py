"""What every training script of the recipe shares: a wall-clock budget, resumable whole-file checkpoints, EMA.

The schedule follows the elapsed share of the budget, not a step count, so that one recipe fits a laptop and a GPU.
"""

from __future__ import annotations

import argparse
import copy
import math
import time
from pathlib import Path

import torch
from torch import nn

from fetch import WORK


def parser(doc: str, minutes: float, batch: int) -> argparse.ArgumentParser:
    """The options that all training scripts have."""
    options = argparse.ArgumentParser(description=doc)
    options.add_argument("--work", type=Path, default=WORK)
    options.add_argument("--minutes", type=float, default=minutes, help="wall-clock training budget")
    options.add_argument("--batch", type=int, default=batch)
    options.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--save-every", type=float, default=150.0, help="seconds between checkpoints")
    return options


class Clock:
    """Elapsed training seconds against the budget; a resumed run goes on where the checkpoint was."""

    def __init__(self, minutes: float, elapsed: float = 0.0) -> None:
        self.budget = minutes * 60
        self._start = time.monotonic() - elapsed

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self._start

    @property
    def fraction(self) -> float:
        """Share of the budget used, at most 1."""
        return min(1.0, self.elapsed / self.budget)


def cosine(fraction: float, peak: float, warm_up: float = 0.02, floor: float = 0.01) -> float:
    """Learning rate at this share of the budget: linear warm-up, then a cosine down to `floor * peak`."""
    if fraction < warm_up:
        return peak * max(fraction, 1e-4) / warm_up
    phase = (fraction - warm_up) / (1 - warm_up)
    return peak * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * phase)))


class Average:
    """Exponential moving average of a module's parameters and buffers, with a short memory at first."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.module = copy.deepcopy(module).eval().requires_grad_(False)
        self.decay = decay
        self.steps = 0

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        mine, theirs = list(self.module.parameters()), list(module.parameters())
        torch._foreach_lerp_(mine, [p.detach() for p in theirs], 1 - decay)
        for a, b in zip(self.module.buffers(), module.buffers(), strict=True):
            a.copy_(b)


def save(path: Path, state: dict) -> None:
    """Write a checkpoint whole: temporary file, then rename."""
    partial = path.with_name(path.name + ".partial")
    torch.save(state, partial)
    partial.rename(path)


def load(path: Path) -> dict | None:
    """The checkpoint, or None when training starts afresh."""
    return torch.load(path, map_location="cpu", weights_only=True) if path.exists() else None


def shuffled_batches(count: int, batch: int, generator: torch.Generator):
    """Endless batches of row numbers, each epoch a new permutation."""
    while True:
        order = torch.randperm(count, generator=generator)
        yield from order[: count // batch * batch].view(-1, batch)


def log(message: str) -> None:
    """One progress line with the time of day."""
    print(f"{time.strftime('%H:%M:%S')} {message}", flush=True)
