"""openclip/clip: what the header of a file may claim, and which files are opened at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import save_file

from calumma.errors import AssetError
from calumma_plugins.openclip.clip import CLIP
from calumma_plugins.openclip.config import CLIPConfig, read_config
from calumma_plugins.openclip.options import CLIPOptions

from .conftest import asset

MODEL: dict[str, Any] = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 16, "layers": 1, "width": 32, "patch_size": 8},
    "text_cfg": {"context_length": 24, "vocab_size": 100, "width": 32, "heads": 2, "layers": 2},
}
LEAST = 4 * 1 * 32**2 + 4 * 2 * 32**2 + 100 * 32 + 16  # weights: of either tower, of the words, of the last layer


def claimed(file: Path, model: dict[str, Any], preprocess: dict[str, Any] | None = None, numbers: int = LEAST) -> CLIPConfig:
    """What is read of a file with this header and so many weights."""
    told = {"model_cfg": model, **({} if preprocess is None else {"preprocess_cfg": preprocess})}
    save_file({"weights": torch.zeros(numbers)}, file, metadata={"config": json.dumps(told)})
    return read_config(CLIPOptions(weights=asset(file)))


def vision(**changes: Any) -> dict[str, Any]:
    return {"vision_cfg": {**MODEL["vision_cfg"], **changes}}


def text(**changes: Any) -> dict[str, Any]:
    return {"text_cfg": {**MODEL["text_cfg"], **changes}}


@pytest.mark.parametrize(
    "changes",
    [
        *({"embed_dim": size} for size in (0, 65_537, "16", 16.0)),
        {"custom_text": 1},
        {"hf_model_name": "roberta-base"},
        *(vision(layers=count) for count in (0, 257, "1")),
        *(vision(width=size) for size in (0, 65_537)),
        *(vision(patch_size=side) for side in (0, 4097)),
        *(vision(image_size=side) for side in (0, 4097, [16, 0])),
        *(vision(mlp_ratio=factor) for factor in (0, 64.5)),
        *(vision(patch_dropout=share) for share in (-0.1, 1.1)),
        vision(timm_model_name="resnet50"),
        *(text(vocab_size=count) for count in (0, 2**24 + 1)),
        *(text(context_length=count) for count in (0, 4097)),
        text(heads=0),
        *(text(**{name: "gpt2"}) for name in ("hf_model_name", "hf_tokenizer_name")),
    ],
    ids=str,
)
def test_a_header_of_no_clip_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(AssetError, match="does not describe a CLIP of open_clip: model_cfg"):
        claimed(tmp_path / "clip.safetensors", {**MODEL, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        *({"mean": values} for values in ([0.5] * 2, [0.5] * 4)),
        *({"std": values} for values in ([0.5] * 2, [0.5] * 4, [0.5, 0.5, 0])),
        *({"fill_color": value} for value in (-1, 256, "0")),
        *({"size": side} for side in (0, 4097)),
        *({name: "another"} for name in ("mode", "interpolation", "resize_mode", "unknown")),
    ],
    ids=str,
)
def test_a_header_that_prepares_pictures_in_no_known_way_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(AssetError, match="does not describe a CLIP of open_clip: preprocess_cfg"):
        claimed(tmp_path / "clip.safetensors", MODEL, changes)


def test_what_a_header_says_is_kept_and_no_more(tmp_path: Path) -> None:
    preprocess = {"mean": [0.5] * 3, "std": [0.25] * 3, "fill_color": 255, "resize_mode": "squash"}
    assert claimed(tmp_path / "clip.safetensors", MODEL, preprocess) == CLIPConfig(None, MODEL, preprocess)
    assert claimed(tmp_path / "clip.safetensors", MODEL) == CLIPConfig(None, MODEL, {})


@pytest.mark.parametrize(
    ("model", "least"),
    [
        (MODEL, LEAST),
        ({**MODEL, "vision_cfg": {}}, LEAST - 4 * 32**2),
        ({**MODEL, "vision_cfg": {"width": 32}}, LEAST - 4 * 32**2),
        ({**MODEL, "text_cfg": {"width": 32}}, 4 * 32**2 + 16),
        ({**MODEL, "text_cfg": {"vocab_size": 100}}, 4 * 32**2 + 16),
    ],
)
def test_no_memory_is_asked_for_that_the_file_does_not_fill(tmp_path: Path, model: dict[str, Any], least: int) -> None:
    assert claimed(tmp_path / "clip.safetensors", model, numbers=least).model == model
    with pytest.raises(AssetError, match="claims a larger model than the file holds"):
        claimed(tmp_path / "clip.safetensors", model, numbers=least - 1)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin", ".ckpt"])
def test_a_checkpoint_is_known_by_its_suffix_and_another_file_is_refused(tmp_path: Path, suffix: str) -> None:
    for name, what in ((f"clip{suffix}", "clip"), ("clip.zip", "is no file of weights")):
        (tmp_path / name).write_bytes(b"nothing")
        with pytest.raises(AssetError, match=what) as caught:
            CLIP(CLIPOptions(weights=asset(tmp_path / name), model="ViT-B-32")).warm_up()
        assert ("is no file of weights" in caught.value.message) is (name == "clip.zip")


def test_no_gradient_is_kept_for_its_weights(clip_file: Path) -> None:
    embedder = CLIP(CLIPOptions(weights=asset(clip_file)))
    embedder.warm_up()
    assert embedder._model is not None
    assert not any(one.requires_grad for one in embedder._model.parameters())


@pytest.mark.parametrize(
    "options",
    [
        {"model": "", "pretrained": "openai"},
        {"model": "ViT-B-32", "pretrained": ""},
        {"model": "V" * 201, "pretrained": "openai"},
        {"model": "ViT-B-32", "pretrained": "o" * 201},
    ],
    ids=["no model", "no tag", "a long model", "a long tag"],
)
def test_names_are_short_and_not_empty(options: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match=r"(200 characters|1 character)"):
        CLIPOptions.model_validate(options)
