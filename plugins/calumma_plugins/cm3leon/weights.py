"""Files of weights: safetensors whose header says the sizes of the model and the tokenizers that it was trained on."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from calumma.errors import AssetError
from calumma.extension.checkpoints import check_finite, check_fit
from calumma.interfaces import Dtype
from calumma_plugins.cm3leon.config import ModelConfig

if TYPE_CHECKING:
    from torch import Tensor

    from calumma_plugins.cm3leon.model import Transformer

MOST_HEADER_BYTES = 100_000_000


def read_config(path: Path) -> tuple[ModelConfig, dict[str, str]]:
    """Sizes, and slot -> fingerprint of its tokenizers, from the header alone. Raises AssetError."""
    fix = "Name weights that `save_weights` of cm3leon wrote."
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(size)) if size <= MOST_HEADER_BYTES else {}
        told = json.loads(header["__metadata__"]["config"])
        fingerprints = {str(slot): str(value) for slot, value in told.pop("fingerprints", {}).items()}
        return ModelConfig.model_validate(told), fingerprints
    except OSError as error:
        raise AssetError(f"Cannot read {path}: {error.strerror}.", "Check the path in the registry.") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, ValidationError) as error:
        raise AssetError(f"{path} has no header that says the decoder's sizes.", fix) from error


def save_weights(
    path: Path, model: Transformer, config: ModelConfig, fingerprints: Mapping[str, str], dtype: Dtype = "float32"
) -> None:
    """Writes a file that cm3leon/decoder loads, whole or not at all.

    Args:
        fingerprints: of "text_tokenizer" and "image_tokenizer"; the decoder refuses others. {} lets it take any.
    """
    import torch
    from safetensors.torch import save_file

    tensors = {name: value.detach().to("cpu", getattr(torch, dtype)) for name, value in model.state_dict().items()}
    told = json.dumps({**config.model_dump(), "fingerprints": dict(fingerprints)}, sort_keys=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        save_file({name: value.contiguous() for name, value in tensors.items()}, partial, metadata={"config": told})
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def load_model(path: Path) -> Transformer:
    """The model of a file, in the precision it was written in, on the CPU.

    Raises AssetError: no such tensors, others beside them (both are listed), or numbers that are none.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from calumma_plugins.cm3leon.model import Transformer

    config, _ = read_config(path)
    with torch.device("meta"):
        model = Transformer(config)
    try:
        tensors, wanted = load_file(path), model.state_dict()
    except (OSError, SafetensorError) as error:
        raise AssetError(f"The weights in {path} cannot be read: {error}.", "Fetch or train them again.") from error
    check_fit(f"{path} does not fit the sizes its header tells of", shapes(wanted), shapes(tensors), "Fetch or train it again.")
    check_finite(path, tensors)
    model.load_state_dict(tensors, assign=True)
    return model


def shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Name -> shape."""
    return {name: tuple(one.shape) for name, one in tensors.items()}
