"""What a VQGAN is made of, read from a taming-style YAML or from a safetensors header, before any weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from safetensors import SafetensorError, safe_open

from calumma.documents import IntArray
from calumma.errors import AssetError

GROUPS = 32
MAX_YAML = 2**20
MAX_NPY = 2**28


class NetworkConfig(BaseModel):
    """taming's `ddconfig`: arguments of its Encoder and Decoder."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    ch: int = Field(ge=1, le=65_536)
    ch_mult: tuple[Annotated[int, Field(ge=1, le=1024)], ...] = Field(min_length=1, max_length=12)
    num_res_blocks: int = Field(ge=1, le=64)
    attn_resolutions: tuple[int, ...] = Field((), max_length=12)
    in_channels: Literal[3] = 3
    out_ch: Literal[3] = 3
    resolution: int = Field(ge=1, le=16_384)
    z_channels: int = Field(ge=1, le=65_536)
    double_z: Literal[False] = False
    dropout: float = Field(0.0, ge=0, le=1)

    @model_validator(mode="after")
    def _widths_fit_groups(self) -> NetworkConfig:
        for width in (self.ch, *(self.ch * factor for factor in self.ch_mult)):
            if width % GROUPS:
                raise ValueError(f"a width of {width} is no multiple of {GROUPS}, in which taming normalises")
        if self.resolution % self.factor:
            raise ValueError(f"a resolution of {self.resolution} is no multiple of {self.factor}, the downsampling")
        return self

    @property
    def factor(self) -> int:
        """Pixels per code, along each side."""
        return int(2 ** (len(self.ch_mult) - 1))

    @property
    def least_codes(self) -> int:
        """Codes that a picture must have: 2 where groups of one channel are normalised, of which one value has no variance."""
        coarsest = [self.ch * factor for factor in (1, *self.ch_mult)[-2:]]
        return 2 if GROUPS in coarsest else 1


class VQGANConfig(BaseModel):
    """taming's `model.params`, less the loss; `quantizer` stands for the class that its `target` names.

    Attributes:
        remap: the author's path of the list of used codes; only ever shown, never opened.
        unknown_index: the id of a code that is not among them. taming draws one at "random", which is its default; here
            that means the used code that comes nearest, because the same picture must have the same ids.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    embed_dim: int = Field(ge=1, le=65_536)
    n_embed: int = Field(ge=2, le=1 << 24)
    ddconfig: NetworkConfig
    quantizer: Literal["vq", "gumbel"] = "vq"
    remap: str | None = Field(None, max_length=4096)
    unknown_index: Literal["random", "extra"] | Annotated[int, Field(ge=0, lt=1 << 24)] = "random"


def read_config(weights: Path, config: Path | None) -> VQGANConfig:
    """The config beside the weights, or in their header. Raises AssetError where it is missing or not a VQGAN's."""
    values = _from_header(weights) if config is None else _from_yaml(config)
    try:
        return VQGANConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the config"
        raise AssetError(
            f"{config or weights} does not describe a VQGAN: {where}: {first['msg']}.",
            "Give the YAML that was published with the weights.",
        ) from error


def read_used(path: Path, n_embed: int) -> IntArray:
    """The used codes [R] of a remapped tokenizer, in the order of their new ids. Raises AssetError for any other array."""
    try:
        if path.stat().st_size > MAX_NPY:
            raise ValueError("too large")
        used = np.load(path, allow_pickle=False)
        if used.ndim != 1 or used.dtype.kind not in "iu" or not len(used):
            raise ValueError(f"{used.dtype} {used.shape}")
    except (OSError, ValueError, EOFError, AttributeError) as error:
        raise AssetError(
            f"{path} is no NumPy file of the numbers of codes.", "Give the .npy that the VQGAN was remapped with."
        ) from error
    codes: IntArray = used.astype(np.int64)
    if codes.min() < 0 or codes.max() >= n_embed or len(np.unique(codes)) < len(codes):
        raise AssetError(
            f"{path} does not list codes of 0..{n_embed - 1}, each once.", "Give the .npy that the VQGAN was remapped with."
        )
    return codes


class _PlainLoader(yaml.SafeLoader):
    """The safe loader, less aliases: a few lines of them stand for billions of values."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not read")
        return super().compose_node(parent, index)


def _from_yaml(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_YAML:
            raise ValueError("too large")
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_PlainLoader)
        model = content["model"]
        model = model["params"].get("first_stage_config", model)  # of a transformer that was trained on its codes
        params = dict(model["params"])
        target = str(model.get("target", ""))
    except (OSError, yaml.YAMLError, AttributeError, TypeError, KeyError, ValueError, RecursionError) as error:
        raise AssetError(
            f"{path} is not a taming-style YAML with `model: params:`.", "Give the YAML that was published with the weights."
        ) from error
    return {"quantizer": "gumbel" if target.rsplit(".", 1)[-1].startswith("Gumbel") else "vq", **params}


def _from_header(path: Path) -> dict[str, Any]:
    fix = "Give `config`, the YAML that was published with the weights."
    if path.suffix != ".safetensors":
        raise AssetError(f"{path} does not say what it is made of.", fix)
    try:
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
        values = json.loads(header["config"])
    except KeyError as error:
        raise AssetError(f"The header of {path} has no `config`.", fix) from error
    except (OSError, SafetensorError, ValueError, RecursionError) as error:
        raise AssetError(f"{path} is not a readable safetensors file.", "Check the path, or fetch the file again.") from error
    if not isinstance(values, dict):
        raise AssetError(f"The `config` in the header of {path} is not a JSON object.", fix)
    return values
