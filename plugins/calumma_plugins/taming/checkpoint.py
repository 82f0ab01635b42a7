"""The state dict of a VQGAN, out of the larger ones that CompVis publish it in."""

from __future__ import annotations

import logging
from pathlib import Path

import torch

from calumma.extension.checkpoints import read_tensors

FIRST_STAGE = "first_stage_model."  # before each name, where the file is of a transformer trained on the VQGAN's codes
log = logging.getLogger(__name__)


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """Tensors on the CPU by name, without the training loss. Raises AssetError for a file that is unreadable or unsafe."""
    state = read_tensors(path)
    first = {name.removeprefix(FIRST_STAGE): value for name, value in state.items() if name.startswith(FIRST_STAGE)}
    if first:
        log.warning("%s: left out %d tensors beside its VQGAN.", path.name, len(state) - len(first))
        state = first
    kept = {name: value for name, value in state.items() if not name.startswith("loss.")}
    if len(kept) < len(state):
        log.warning("%s: left out %d tensors of the training loss (loss.*).", path.name, len(state) - len(kept))
    return kept
