"""A folder in the Hugging Face format: its config, and the tensors of one or many safetensors files; pickles stay shut."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from calumma.errors import AssetError
from calumma.extension.checkpoints import check_finite, check_fit
from calumma.files import read_text
from calumma.interfaces import sha256_of
from calumma_plugins.transformers.config import FIX, ModelConfig, read_config

VQ = "model.vqmodel."
PIXELS = f"{VQ}decoder."  # not in Meta's; some conversions of Anole hold the pixel decoder too
OLD_BUFFERS = ".rotary_emb.inv_freq"  # worked out anew, never learned
WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLES = ("*.bin", "*.pth")
MOST_INDEX = 2**27

Shapes = dict[str, tuple[int, ...]]


class Folder:
    """What a folder holds, read when it is asked for. Every error is an AssetError."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def config(self) -> ModelConfig:
        """What the model is made of."""
        if not self.path.is_dir():
            raise AssetError(f"{self.path} is no folder.", FIX)
        return read_config(self.path)

    @cached_property
    def files(self) -> list[Path]:
        """The safetensors files of the weights, in the order of their names."""
        if (self.path / WHOLE).is_file():
            return [self.path / WHOLE]
        index = self.path / INDEX
        if not index.is_file():
            pickles = sorted(file.name for pattern in PICKLES for file in self.path.glob(pattern))
            if pickles:
                raise AssetError(
                    f"{self.path} holds its weights as pickles ({', '.join(pickles[:3])}), which could run code.",
                    "Have them as model.safetensors; transformers' save_pretrained writes that.",
                )
            raise AssetError(f"{self.path} has neither {WHOLE} nor {INDEX}.", FIX)
        try:
            names = sorted(set(json.loads(read_text(index, MOST_INDEX))["weight_map"].values()))
            if not names or any(Path(name).name != name or not name.endswith(".safetensors") for name in names):
                raise ValueError("a file that is no safetensors file of this folder")
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise AssetError(f"{index} does not say which files hold the weights.", FIX) from error
        lacking = [name for name in names if not (self.path / name).is_file()]
        if lacking:
            raise AssetError(
                f"{self.path} lacks {len(lacking)} of its {len(names)} files of weights ({', '.join(lacking[:3])}).",
                "Fetch the folder again.",
            )
        return [self.path / name for name in names]

    @cached_property
    def shapes(self) -> Shapes:
        """Name -> shape of every tensor, from the headers alone."""
        found: Shapes = {}
        for file in self.files:
            with _opened(file) as opened:
                found |= {name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118
        return {name: shape for name, shape in found.items() if not name.endswith(OLD_BUFFERS)}

    def load(self, of: Callable[[str], bool], wanted: Mapping[str, Sequence[int]], prefix: str = "") -> dict[str, torch.Tensor]:
        """The tensors of `wanted` on the CPU, as precise as they were written.

        Args:
            of: tells of a name whether it is of this part of the model; all that are must be wanted, and none else missing.
            wanted: name -> shape, without `prefix`.
            prefix: what stands before each name in the files.
        """
        expected = {prefix + name: tuple(shape) for name, shape in wanted.items()}
        found = {name: shape for name, shape in self.shapes.items() if of(name)}
        check_fit(f"The weights in {self.path} do not fit its config.json", expected, found, "Fetch the folder again.")
        tensors: dict[str, torch.Tensor] = {}
        for file in self.files:
            with _opened(file) as opened:
                own = {name: opened.get_tensor(name) for name in opened.keys() if name in expected}  # noqa: SIM118
            check_finite(file, own)
            tensors |= {name.removeprefix(prefix): value for name, value in own.items()}
        return tensors

    def used(self) -> list[Path]:
        """The files that say what the model computes: the config and the weights."""
        return [self.path / "config.json", *self.files]

    @cached_property
    def codes_digest(self) -> str:
        """Hex sha256 over the encoder and the codebook of the image tokenizer: equal where equal pictures get equal codes."""
        key = tuple((str(file), *_stamp(file)) for file in self.used())
        if key not in _DIGESTS:
            tensors: dict[str, str] = {}
            for file in self.files:
                with _opened(file) as opened:
                    tensors |= {name: _digest(opened.get_tensor(name)) for name in opened.keys() if is_code(name)}  # noqa: SIM118
            meant = [self.config.vq_config.model_dump(mode="json"), tensors]  # in whatever files they lie
            _DIGESTS[key] = hashlib.sha256(json.dumps(meant, sort_keys=True).encode()).hexdigest()
        return _DIGESTS[key]


_DIGESTS: dict[tuple[Any, ...], str] = {}


def is_code(name: str) -> bool:
    """Whether a tensor is of the image tokenizer, and not of its pixel decoder."""
    return name.startswith(VQ) and not name.startswith(PIXELS)


def fingerprint(id: str, values: Mapping[str, object]) -> str:
    """`id#` and 16 hex digits over JSON values, as all fingerprints are."""
    return f"{id}#{hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]}"


def digest_of(files: Sequence[Path]) -> dict[str, str]:
    """Name -> hex sha256 of each file."""
    return {file.name: sha256_of(file) for file in files}


def named(option: str, files: Sequence[Path]) -> Iterator[tuple[str, Path]]:
    """The files of an option that names a folder, for the record of a run."""
    yield from ((f"{option}/{file.name}", file) for file in files)


def _digest(tensor: torch.Tensor) -> str:
    digest = hashlib.sha256(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
    digest.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _stamp(file: Path) -> tuple[int, int]:
    try:
        status = file.stat()
    except OSError as error:
        raise AssetError(f"Cannot read {file}: {error.strerror}.", FIX) from error
    return status.st_size, status.st_mtime_ns


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[Any]:
    """safe_open, whose errors are of many kinds and mean one thing here: a type that torch does not have is among them."""
    try:
        opened: Any = safe_open(file, framework="pt")
        with opened:
            yield opened
    except (OSError, SafetensorError, ValueError, AttributeError, KeyError, TypeError) as error:
        raise AssetError(f"{file} is not a readable safetensors file.", "Check the path, or fetch the file again.") from error
