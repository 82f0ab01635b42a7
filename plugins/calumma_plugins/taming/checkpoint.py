"""Reads state dicts, Lightning pickles among them, without letting a file run code."""

from __future__ import annotations

import logging
import pickle
import re
import warnings
from pathlib import Path

import torch
from safetensors.torch import load_file

from calumma.errors import AssetError
from calumma.extension.checkpoints import check_checkpoint

log = logging.getLogger(__name__)


class _ModelCheckpoint:
    """Stands for Lightning's callback, which old checkpoints pickle as a key of their `callbacks`; it does nothing."""


_ModelCheckpoint.__module__ = "pytorch_lightning.callbacks.model_checkpoint"
_ModelCheckpoint.__qualname__ = _ModelCheckpoint.__name__ = "ModelCheckpoint"


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """Tensors on the CPU by name, without `loss.*`. Raises AssetError for a file that is unreadable or holds other objects."""
    state = _from_safetensors(path) if path.suffix == ".safetensors" else _from_pickle(path)
    kept = {name: value for name, value in state.items() if not name.startswith("loss.")}
    if len(kept) < len(state):
        log.warning("%s: left out %d tensors of the training loss (loss.*).", path.name, len(state) - len(kept))
    return kept


def _from_safetensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        return dict(load_file(path))
    except Exception as error:  # of the file system, of safetensors, or for a type that torch does not have
        raise AssetError(f"{path} is not a readable safetensors file.", "Check the path, or fetch the file again.") from error


def _from_pickle(path: Path) -> dict[str, torch.Tensor]:
    check_checkpoint(path)
    try:
        with torch.serialization.safe_globals([_ModelCheckpoint]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's guesses about pickles that it refuses a moment later
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL ([\w.]+)", str(error))
        culprit = f"the Python object {found.group(1)}" if found else "something else than tensors"
        raise AssetError(
            f"{path} holds {culprit}, which could run code, so it was not opened.",
            "Have its owner save the state dict alone, best as safetensors.",
        ) from error
    except Exception as error:  # a damaged pickle can make the unpickler raise anything
        raise AssetError(f"{path} is not a readable PyTorch checkpoint.", "Check the path, or fetch the file again.") from error
    state = content.get("state_dict", content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(one, torch.Tensor) for one in state.values()):
        raise AssetError(f"{path} holds no state dict.", "Give a checkpoint whose `state_dict` maps names to tensors.")
    if not all(isinstance(name, str) for name in state):
        raise AssetError(f"{path} holds tensors without names.", "Give a checkpoint whose `state_dict` maps names to tensors.")
    return state
