"""Trains a tokenizer on a folder of pictures or a bank: `python -m calumma_fsq.train SOURCE --out weights.safetensors`.

The same settings give the same weights, resumed or not: what a step sees depends on the seed and its number alone.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import pickle
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from calumma.documents import Pixels
from calumma.documents.pictures import write_bytes, write_png
from calumma.errors import CalummaError, InputError
from pydantic import ValidationError
from rich.console import Console
from rich.progress import Progress
from torch.nn.functional import mse_loss

from calumma_fsq.config import FSQConfig
from calumma_fsq.model import Autoencoder
from calumma_fsq.pictures import read_all, sheet, split
from calumma_fsq.weights import save_weights

WARM_UP, FLOOR = 50, 0.02  # steps, and the share of the learning rate that is left at the end
SHOWN = 12  # pictures on the sheet


def main(words: Sequence[str] | None = None) -> int:
    """Reads the command line and trains; the exit code."""
    parser = argparse.ArgumentParser(prog="calumma_fsq.train", description=__doc__)
    parser.add_argument("source", help="a folder of pictures, a bank, or PLUGIN:file")
    parser.add_argument("--out", type=Path, required=True, help="the weights; sheet and checkpoint lie beside")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=1e-3, help="learning rate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--levels", type=int, nargs="+", default=[8, 5, 5, 5])
    parser.add_argument("--factor", type=int, choices=[4, 8], default=8, help="pixels per code, along each side")
    parser.add_argument("--side", type=int, default=64, help="of the pictures")
    parser.add_argument("--width", type=int, default=32, help="channels of the widest maps")
    parser.add_argument("--save-every", type=int, default=100, help="steps between checkpoints")
    given = parser.parse_args(words)
    try:
        Training(given).run()
    except CalummaError as error:
        print(f"calumma_fsq.train: {error}", file=sys.stderr)
        return 2
    return 0


def config_of(given: argparse.Namespace) -> FSQConfig:
    """The architecture that the command line asks for. Raises InputError for numbers that are out of range."""
    if min(given.steps, given.batch, given.save_every) < 1 or given.seed < 0 or not 0 < given.rate <= 1:
        raise InputError("Steps and batch are at least 1, the seed at least 0, the rate above 0 and at most 1.")
    try:
        return FSQConfig(levels=tuple(given.levels), factor=given.factor, resolution=given.side, width=given.width)
    except ValidationError as error:
        mistake = error.errors()[0]
        where = " ".join(str(one) for one in mistake["loc"]) or "the sizes"
        raise InputError(f"{where}: {mistake['msg'].removeprefix('Value error, ')}.", "Choose other sizes.") from error


class Training:
    """One run: pictures, model and optimiser, at some step."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.config = config = config_of(given)
        self.out, self.steps = given.out, given.steps
        self.batch, self.rate, self.seed, self.save_every = given.batch, given.rate, given.seed, given.save_every
        self.checkpoint = self.out.with_name(self.out.name + ".checkpoint")
        self.pictures = read_all(given.source, config.resolution)
        self.train, self.held = split(len(self.pictures), self.seed)
        facts = [config.model_dump(mode="json"), self.steps, self.batch, self.rate, self.seed, len(self.pictures)]
        self.settings = json.dumps(facts)
        torch.manual_seed(self.seed)
        self.model = Autoencoder(config)
        self.optimiser = torch.optim.AdamW(self.model.parameters(), self.rate, weight_decay=0.01)

    def run(self) -> None:
        """Trains what is left, prints what it came to, writes the weights and the sheet, drops the checkpoint."""
        if not self.out.parent.is_dir():
            raise InputError(f"There is no folder {self.out.parent}.", "Make it, or choose another --out.")
        before = self.reconstructed()
        print(f"{len(self.train)} pictures to train on, {len(self.held)} held out; {self.config.codebook_size} codes")
        print(
            f"PSNR of the held-out pictures before training: {psnr(self.pictures[self.held], before):.2f} dB",
            flush=True,
        )
        done = self.resumed()
        with Progress(console=Console(stderr=True)) as bar:
            task = bar.add_task("training", total=self.steps, completed=done)
            for step in range(done, self.steps):
                loss = self.step(step)
                bar.update(task, completed=step + 1, description=f"loss {loss:.4f}")
                if (step + 1) % self.save_every == 0:
                    self.keep(step + 1)
        after = self.reconstructed()
        print(f"PSNR of the held-out pictures after {self.steps} steps: {psnr(self.pictures[self.held], after):.2f} dB")
        save_weights(self.out, self.model, self.config)
        page = self.out.with_suffix(".png")
        write_png(page, sheet([rows[:SHOWN] for rows in (self.pictures[self.held], before, after)]))
        self.checkpoint.unlink(missing_ok=True)
        print(f"{self.out}\n{page}: held-out pictures, and what they come back as before and after training")

    def step(self, number: int) -> float:
        """One step of gradient descent on the squared error; returns it."""
        self.model.train()
        chance = np.random.default_rng([self.seed, number])
        rows = np.asarray(self.train)[chance.integers(0, len(self.train), self.batch)]
        wanted = as_tensor(self.pictures[rows])
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate * schedule(number, self.steps)
        loss = mse_loss(self.model(wanted), wanted)
        self.optimiser.zero_grad()
        torch.autograd.backward([loss])
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        return float(loss.detach())

    def keep(self, done: int) -> None:
        """Writes the checkpoint whole or not at all."""
        buffer = io.BytesIO()
        state = {"settings": self.settings, "done": done, "model": self.model.state_dict()}
        torch.save({**state, "optimiser": self.optimiser.state_dict()}, buffer)
        write_bytes(self.checkpoint, buffer.getvalue())

    def resumed(self) -> int:
        """The steps that a checkpoint of this very run has made; 0 without one. Raises InputError for another run's."""
        if not self.checkpoint.exists():
            return 0
        fix = f"Delete {self.checkpoint}, or choose another --out."
        try:
            state = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
            if state["settings"] != self.settings:
                raise InputError(f"{self.checkpoint} was made with other settings or pictures.", fix)
            self.model.load_state_dict(state["model"])
            self.optimiser.load_state_dict(state["optimiser"])
            return int(state["done"])
        except (OSError, RuntimeError, EOFError, KeyError, TypeError, ValueError, pickle.UnpicklingError) as error:
            raise InputError(f"{self.checkpoint} is not a checkpoint of this command.", fix) from error

    @torch.no_grad()
    def reconstructed(self) -> Pixels:
        """The held-out pictures as they come back."""
        self.model.eval()
        return np.concatenate([as_pixels(self.model(as_tensor(self.pictures[[row]]))) for row in self.held])


def as_tensor(pictures: Pixels) -> torch.Tensor:
    """uint8 [B, H, W, 3] -> float32 [B, 3, H, W] in [-1, 1]."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1


def as_pixels(pictures: torch.Tensor) -> Pixels:
    """float32 [B, 3, H, W] in [-1, 1] -> uint8 [B, H, W, 3]."""
    return np.asarray(((pictures.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy())


def psnr(wanted: Pixels, found: Pixels) -> float:
    """Peak signal-to-noise ratio in decibels: 10 log10(255^2 / MSE) of each picture, averaged."""
    squares = ((wanted.astype(np.float64) - found) ** 2).mean(axis=(1, 2, 3))
    return float((10 * np.log10(255**2 / np.maximum(squares, 1e-10))).mean())


def schedule(step: int, steps: int) -> float:
    """Share of the learning rate: a short rise, then half a cosine."""
    rise = min(1.0, (step + 1) / WARM_UP)
    return rise * (FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * step / steps)))


if __name__ == "__main__":
    sys.exit(main())
