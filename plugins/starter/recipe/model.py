"""The starter's decoder: which model is trained, and how its weights are stored for the `cm3leon/transformer` plugin."""

from __future__ import annotations

from pathlib import Path

import torch
from calumma_plugins.cm3leon.config import ModelConfig
from calumma_plugins.cm3leon.model import Transformer

# A wider start than the paper's 0.006 and 0.0002: at 256 wide those leave the first minutes without a signal.
CONFIG = ModelConfig(
    layers=8, width=256, heads=4, context=384, text_size=4096, codebook_size=1024, init_std=0.02, position_std=0.01
)
vocabulary = CONFIG.vocabulary


def export(model: Transformer, work: Path) -> None:
    """bfloat16 weights."""
    torch.save({name: value.to(torch.bfloat16) for name, value in model.state_dict().items()}, work / "decoder-raw.pt")
