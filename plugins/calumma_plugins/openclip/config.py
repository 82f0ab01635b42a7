"""The architecture of a CLIP, found without importing open_clip: its dimension is known before torch is."""

from __future__ import annotations

import difflib
import importlib.util
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open

from calumma.errors import AssetError, ComponentError
from calumma_plugins.openclip.options import CLIPOptions

Small = Annotated[int, Field(ge=1, le=4096)]
Width = Annotated[int, Field(ge=1, le=65_536)]


class _Plain(BaseModel):
    """What a header may say. Left out on purpose: whatever has open_clip fetch another model or tokenizer by name."""

    model_config = ConfigDict(extra="forbid", strict=True)

    layers: Annotated[int, Field(ge=1, le=256)] | None = None
    width: Width | None = None
    mlp_ratio: float | None = Field(None, gt=0, le=64)
    ls_init_value: float | None = None
    pool_type: str | None = None
    final_ln_after_pool: bool | None = None
    output_tokens: bool | None = None


class _Vision(_Plain):
    head_width: Width | None = None
    patch_size: Small | None = None
    image_size: Small | list[Small] | None = None
    patch_dropout: float | None = Field(None, ge=0, le=1)
    attentional_pool: bool | None = None
    attn_pooler_queries: Small | None = None
    attn_pooler_heads: Small | None = None
    no_ln_pre: bool | None = None
    pos_embed_type: str | None = None


class _Text(_Plain):
    context_length: Small | None = None
    vocab_size: Annotated[int, Field(ge=1, le=1 << 24)] | None = None
    heads: Small | None = None
    embed_cls: bool | None = None
    pad_id: int | None = None
    eos_id: int | None = None
    no_causal_mask: bool | None = None
    proj_bias: bool | None = None
    proj_type: str | None = None


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    embed_dim: Width
    vision_cfg: _Vision
    text_cfg: _Text
    quick_gelu: bool | None = None
    custom_text: bool | None = None
    init_logit_scale: float | None = None
    init_logit_bias: float | None = None


class _Preprocess(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    size: Small | list[Small] | None = None
    mode: Literal["RGB"] = "RGB"
    mean: list[float] | None = Field(None, min_length=3, max_length=3)
    std: list[Annotated[float, Field(gt=0)]] | None = Field(None, min_length=3, max_length=3)
    interpolation: Literal["bicubic", "bilinear"] | None = None
    resize_mode: Literal["shortest", "longest", "squash"] | None = None
    fill_color: int | None = Field(None, ge=0, le=255)


class _Header(BaseModel):
    """open_clip's JSON; what else it says of a model is not read."""

    model_cfg: _Model
    preprocess_cfg: _Preprocess | None = None


@dataclass(frozen=True)
class CLIPConfig:
    """open_clip's `model_cfg` and `preprocess_cfg`; `name` is None where the architecture came from a file's header."""

    name: str | None
    model: dict[str, Any]
    preprocess: dict[str, Any] = field(default_factory=dict)

    @property
    def dimension(self) -> int:
        return int(self.model["embed_dim"])


def read_config(options: CLIPOptions) -> CLIPConfig:
    """From the header of `weights`, else from open_clip's own list. Raises ComponentError, AssetError."""
    header = _header(options.weights.local) if options.weights else None
    if header is None:
        if options.model is None:
            raise ComponentError(f"{options.weights} does not say its architecture.", "Give `model`, such as ViT-B-32.")
        return CLIPConfig(options.model, _published(options.model))
    if options.model is not None:
        raise ComponentError(
            f"The file {options.weights} says its own architecture, yet `model` is {options.model!r}.", "Leave `model` out."
        )
    return header


def _header(path: Path) -> CLIPConfig | None:
    if path.suffix != ".safetensors":
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get("config")
            numbers = sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise AssetError(f"{path} is not a readable safetensors file.", "Check the path, or fetch the file again.") from error
    if text is None:
        return None
    try:
        told = _Header.model_validate_json(text).model_dump(exclude_unset=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "it"
        raise AssetError(
            f"The `config` in the header of {path} does not describe a CLIP of open_clip: {where}: {first['msg']}.",
            "Write it as open_clip's JSON files have it; other models and tokenizers cannot be named there.",
        ) from error
    model = told["model_cfg"]
    if _least_numbers(model) > numbers:
        raise AssetError(f"The header of {path} claims a larger model than the file holds.", "Fetch or convert it again.")
    return CLIPConfig(None, model, told.get("preprocess_cfg") or {})


def _least_numbers(model: dict[str, Any]) -> int:
    """Weights that a model of this config has at least, so that no memory is asked for that the file does not fill."""
    vision, text = model["vision_cfg"], model["text_cfg"]
    towers = sum(4 * (tower.get("layers") or 0) * (tower.get("width") or 0) ** 2 for tower in (vision, text))
    return int(towers + text.get("vocab_size", 0) * text.get("width", 0) + model["embed_dim"])


def _published(name: str) -> dict[str, Any]:
    spec = importlib.util.find_spec("open_clip")
    if spec is None or not spec.submodule_search_locations:
        raise ComponentError("openclip/clip needs open_clip.", 'Install it: pip install "calumma[openclip]"')
    files = {file.stem: file for file in Path(spec.submodule_search_locations[0]).glob("model_configs/*.json")}
    key = name.replace("/", "-")
    if key not in files:
        near = difflib.get_close_matches(key, files, n=3, cutoff=0.4)
        raise ComponentError(
            f"open_clip has no model {name!r}.", f"Nearest: {', '.join(near)}." if near else "See open_clip.list_models()."
        )
    content: dict[str, Any] = json.loads(files[key].read_text(encoding="utf-8"))
    return content
