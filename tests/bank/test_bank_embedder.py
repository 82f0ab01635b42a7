"""A bank knows which embedder made it and builds it again, so that a search needs no YAML."""

from __future__ import annotations

import json
from pathlib import Path

import open_clip
import pytest
import torch
from safetensors.torch import save_file

import calumma
from calumma.bank import Bank, ImageFolder, build
from calumma.errors import AssetError, ComponentError, MismatchError
from calumma.extension import Catalog
from calumma.interfaces import Embedder

from .conftest import words

MODEL = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "patch_size": 16, "head_width": 16},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}


def write_clip(path: Path, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    (path.parent / "tests-bank-clip.json").write_text(json.dumps(MODEL))
    open_clip.add_model_config(path.parent / "tests-bank-clip.json")
    state = {name: value.contiguous() for name, value in open_clip.create_model("tests-bank-clip").state_dict().items()}
    save_file(state, path, {"config": json.dumps({"model_cfg": MODEL, "preprocess_cfg": {}})})
    return path


@pytest.fixture
def clip_bank(folder: Path, tmp_path: Path) -> Path:
    weights = write_clip(tmp_path / "clip.safetensors")
    embedder = Catalog().build(
        "embedder", "openclip/clip", {"weights": "clip.safetensors", "batch_size": 4}, base=weights.parent
    )
    assert isinstance(embedder, Embedder)
    embedder.warm_up()
    build(ImageFolder(folder), tmp_path / "clip.bank", embedder)
    return tmp_path / "clip.bank"


def test_a_search_builds_the_banks_own_embedder(clip_bank: Path) -> None:
    found = calumma.Bank.open(clip_bank).search("an apple", k=5)
    assert len(found) == 5
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)


def test_weights_that_changed_since_are_noticed(clip_bank: Path) -> None:
    write_clip(clip_bank.with_name("clip.safetensors"), seed=1)
    with pytest.raises(MismatchError, match="was embedded by openclip/clip#"):
        Bank.open(clip_bank).search("an apple")


def test_weights_that_are_gone_are_named(clip_bank: Path) -> None:
    clip_bank.with_name("clip.safetensors").unlink()
    with pytest.raises(AssetError, match=r"clip\.safetensors"):
        Bank.open(clip_bank).search("an apple")


def test_an_embedder_that_is_not_installed_is_named(bank: Bank) -> None:
    assert bank.info.embedder.id == words().id
    with pytest.raises(ComponentError, match="tests/words"):
        bank.search("an apple")
