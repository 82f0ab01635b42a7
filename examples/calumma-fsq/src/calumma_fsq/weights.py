"""Weights as one safetensors file whose header says what they are the weights of."""

from __future__ import annotations

from pathlib import Path

import torch
from calumma.documents.pictures import write_bytes
from calumma.errors import AssetError
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from calumma_fsq.config import KEY, FSQConfig
from calumma_fsq.model import Autoencoder


def save_weights(path: Path, model: Autoencoder, config: FSQConfig) -> None:
    """Writes the file whole or not at all. Raises InputError where it cannot be written."""
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    write_bytes(path, save(state, {KEY: config.model_dump_json()}))


def load_weights(path: Path, config: FSQConfig) -> Autoencoder:
    """The model in evaluation mode, on the CPU. Raises AssetError where the tensors are not those of the config."""
    model = Autoencoder(config)
    try:
        model.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise AssetError(f"{path} does not hold the tensors that its header promises.", "Train it again.") from error
    return model.eval().requires_grad_(False)


def example(folder: Path) -> dict[str, str]:
    """A small tokenizer with random weights, for contracts and pages of reference."""
    config = FSQConfig(levels=(5, 5, 4), factor=4, resolution=16, width=8)
    model, generator = Autoencoder(config), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(std=0.3, generator=generator)
    path = folder / "fsq.safetensors"
    save_weights(path, model, config)
    return {"weights": str(path)}
