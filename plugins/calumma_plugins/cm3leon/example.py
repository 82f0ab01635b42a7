"""A small decoder to try: weights that nobody trained, with every matrix drawn, so that attention and cache have work to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from calumma_plugins.cm3leon.config import ModelConfig

TINY = ModelConfig(layers=2, width=32, heads=4, context=192, text_size=256, codebook_size=64)


def tiny(folder: Path) -> dict[str, Any]:
    """Writes weights of 230 kB over 256 text ids and 64 codes, for any tokenizers of these sizes; options that name them."""
    import torch

    from calumma_plugins.cm3leon.model import Transformer
    from calumma_plugins.cm3leon.weights import save_weights

    model, generator = Transformer(TINY), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():  # at the paper's start the output projections are zero, and nothing would attend
            weight.normal_(std=0.2, generator=generator)
    save_weights(folder / "tiny.safetensors", model, TINY, {})
    return {"weights": str(folder / "tiny.safetensors")}
