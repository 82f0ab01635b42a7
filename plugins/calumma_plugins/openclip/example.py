"""A CLIP of random weights, small enough to be made on the spot: for contracts, the docs, and trying out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import open_clip
import torch
from safetensors.torch import save_file

TINY: dict[str, Any] = {
    "model_cfg": {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 16, "layers": 1, "width": 32, "patch_size": 8, "head_width": 16},
        "text_cfg": {"context_length": 24, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
    },
    "preprocess_cfg": {
        "mean": [0.5, 0.5, 0.5],
        "std": [0.25, 0.25, 0.25],
        "interpolation": "bilinear",
        "resize_mode": "squash",
    },
}


def tiny(folder: Path) -> dict[str, Any]:
    """Options of an embedder into 16 dimensions."""
    write_clip(folder / "clip.safetensors")
    return {"weights": str(folder / "clip.safetensors")}


def write_clip(path: Path, seed: int = 0) -> None:
    """Writes TINY with random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        state = open_clip.CLIP(**TINY["model_cfg"]).state_dict()
    save_file({name: value.contiguous() for name, value in state.items()}, path, metadata={"config": json.dumps(TINY)})
