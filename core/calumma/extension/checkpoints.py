"""Files of weights, read without letting one run code, and held against what a model expects; plugins call these."""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from calumma.errors import AssetError

if TYPE_CHECKING:
    import torch

Shapes = Mapping[str, Sequence[int]]

SAFE_TORCH = (2, 10)  # before it, a forged file could corrupt memory in spite of weights_only: CVE-2025-32434, CVE-2026-24747


def check_checkpoint(path: Path) -> None:
    """Raises AssetError: this torch reads pickles unsafely, or the file is a zip that unpacks to more than it holds.

    Torch writes its zips uncompressed, so a compressed one is no file of torch's.
    """
    import torch

    version = tuple(int(number) for number in re.findall(r"\d+", torch.__version__)[:2])
    if version < SAFE_TORCH:
        raise AssetError(
            f"{path} is a pickle, which torch {torch.__version__} cannot read safely.",
            "Update torch to 2.10 or later, or have the file as safetensors.",
        )
    try:
        if not zipfile.is_zipfile(path):
            return
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
        whole = sum(member.file_size for member in members) <= path.stat().st_size
    except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError) as error:  # for damage zipfile raises any of these
        raise AssetError(f"{path} is not a readable PyTorch checkpoint.", "Check the path, or fetch the file again.") from error
    if not whole or any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise AssetError(
            f"{path} unpacks to more than it holds, so it was not opened.", "Fetch it again from where it was made."
        )


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Tensors on the CPU by name: of safetensors, or of a PyTorch pickle, where that has one of its `state_dict`.

    Raises AssetError for a file that is unreadable, or holds other objects than tensors.
    """
    return _from_safetensors(path) if path.suffix == ".safetensors" else _from_pickle(path)


def check_fit(name: str, wanted: Shapes, found: Shapes, fix: str) -> None:
    """Raises AssetError that lists all that is missing, unexpected, and of another shape, unless names and shapes are equal.

    Args:
        name: what the tensors are of, as the beginning of a sentence: "model.ckpt does not fit its config".
        wanted, found: name -> shape.
        fix: what to do.
    """
    problems = {
        "missing": sorted(wanted.keys() - found.keys()),
        "unexpected": sorted(found.keys() - wanted.keys()),
        "of another shape": sorted(k for k in wanted.keys() & found.keys() if tuple(wanted[k]) != tuple(found[k])),
    }
    named = [f"{len(keys)} {what} ({_shortened(keys)})" for what, keys in problems.items() if keys]
    if named:
        raise AssetError(f"{name}: tensors {', '.join(named)}.", fix)


def check_finite(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Raises AssetError naming the tensors of a file that hold NaN or infinity, of which nothing right could be computed."""
    wrong = sorted(name for name, one in tensors.items() if one.is_floating_point() and not bool(one.isfinite().all()))
    if wrong:
        raise AssetError(
            f"{path} holds {len(wrong)} tensors with values that are not finite ({_shortened(wrong)}).",
            "Fetch the file again, or take an earlier checkpoint of the training.",
        )


def _shortened(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _from_safetensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    try:
        return dict(load_file(path))
    except Exception as error:  # of the file system, of safetensors, or for a type that torch does not have
        raise AssetError(f"{path} is not a readable safetensors file.", "Check the path, or fetch the file again.") from error


class _ModelCheckpoint:
    """Stands for Lightning's callback, which old checkpoints pickle as a key of their `callbacks`; it does nothing."""


_ModelCheckpoint.__module__ = "pytorch_lightning.callbacks.model_checkpoint"
_ModelCheckpoint.__qualname__ = _ModelCheckpoint.__name__ = "ModelCheckpoint"


def _from_pickle(path: Path) -> dict[str, torch.Tensor]:
    import torch

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
