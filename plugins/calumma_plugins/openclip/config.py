"""The architecture of a CLIP, found without importing open_clip: its dimension is known before torch is."""

from __future__ import annotations

import difflib
import importlib.util
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from calumma.errors import AssetError, ComponentError
from calumma_plugins.openclip.options import CLIPOptions


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
    except (OSError, SafetensorError) as error:
        raise AssetError(f"{path} is not a readable safetensors file.", "Check the path, or fetch the file again.") from error
    if text is None:
        return None
    try:
        content = json.loads(text)
        model, preprocess = dict(content["model_cfg"]), dict(content.get("preprocess_cfg") or {})
        if not isinstance(model["embed_dim"], int) or not {"vision_cfg", "text_cfg"} <= model.keys():
            raise ValueError("incomplete")
    except (ValueError, TypeError, KeyError) as error:
        raise AssetError(
            f"The `config` in the header of {path} has no `model_cfg` with embed_dim, vision_cfg and text_cfg.",
            "Write it as open_clip's JSON files have it.",
        ) from error
    return CLIPConfig(None, model, preprocess)


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
