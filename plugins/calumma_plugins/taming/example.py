"""A VQGAN of random weights, small enough to be made on the spot: for contracts, the docs, and trying out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from calumma_plugins.taming.config import VQGANConfig
from calumma_plugins.taming.vqgan import VQModel

TINY: dict[str, Any] = {
    "embed_dim": 8,
    "n_embed": 24,
    "ddconfig": {
        "double_z": False,
        "z_channels": 8,
        "resolution": 16,
        "in_channels": 3,
        "out_ch": 3,
        "ch": 32,
        "ch_mult": [1, 1, 1],
        "num_res_blocks": 1,
        "attn_resolutions": [8],
        "dropout": 0.0,
    },
}


def tiny(folder: Path) -> dict[str, Any]:
    """Options of a tokenizer of 24 codes that makes 4 x 4 of them from 16 x 16 pixels."""
    write_vqgan(folder / "tokenizer.safetensors")
    return {"weights": str(folder / "tokenizer.safetensors")}


def write_vqgan(path: Path, seed: int = 0) -> None:
    """Writes TINY with random weights; its codes are spread so that pictures use many of them."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = VQModel(VQGANConfig.model_validate(TINY))
        torch.nn.init.normal_(model.get_parameter("quantize.embedding.weight"))
        torch.nn.init.normal_(model.quant_conv.weight, std=2.0)
    save_file(model.state_dict(), path, metadata={"config": json.dumps(TINY)})
