"""Small real parts for the plugins' tests: a tiny VQGAN, a tiny CLIP, a tiny BPE, pictures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from calumma.interfaces import Asset

VQGAN = {
    "embed_dim": 8,
    "n_embed": 24,
    "ddconfig": {
        "double_z": False, "z_channels": 8, "resolution": 16, "in_channels": 3, "out_ch": 3, "ch": 32, "ch_mult": [1, 1],
        "num_res_blocks": 1, "attn_resolutions": [8], "dropout": 0.0,
    },
}  # fmt: skip
CLIP = {
    "model_cfg": {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "patch_size": 16, "head_width": 16},
        "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
    },
    "preprocess_cfg": {
        "mean": [0.5, 0.5, 0.5],
        "std": [0.25, 0.25, 0.25],
        "interpolation": "bilinear",
        "resize_mode": "squash",
    },
}


def asset(path: Path) -> Asset:
    return Asset(str(path), path)


@pytest.fixture(scope="session")
def vqgan_state() -> dict[str, torch.Tensor]:
    """A state dict of taming's own modules, random, its codes spread so that many are used."""
    import contextlib
    import io

    from taming.modules.diffusionmodules.model import Decoder, Encoder
    from taming.modules.vqvae.quantize import VectorQuantizer2
    from torch import nn

    torch.manual_seed(0)
    model = nn.Module()
    with contextlib.redirect_stdout(io.StringIO()):
        model.encoder, model.decoder = Encoder(**VQGAN["ddconfig"]), Decoder(**VQGAN["ddconfig"])
    model.quantize = VectorQuantizer2(VQGAN["n_embed"], VQGAN["embed_dim"], beta=0.25)
    model.quantize.embedding.weight.data.normal_()
    model.quant_conv, model.post_quant_conv = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1)
    model.quant_conv.weight.data.normal_(std=2)
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.fixture(scope="session")
def vqgan_file(tmp_path_factory: pytest.TempPathFactory, vqgan_state: dict[str, torch.Tensor]) -> Path:
    path = tmp_path_factory.mktemp("vqgan") / "tokenizer.safetensors"
    save_file(vqgan_state, path, metadata={"config": json.dumps(VQGAN)})
    return path


@pytest.fixture(scope="session")
def clip_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random CLIP made by open_clip, its weights stored as float16."""
    import open_clip

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("clip")
    (folder / "tests-tiny-clip.json").write_text(json.dumps(CLIP["model_cfg"]))
    open_clip.add_model_config(folder / "tests-tiny-clip.json")
    model = open_clip.create_model("tests-tiny-clip")
    state = {name: value.half() if value.is_floating_point() else value for name, value in model.state_dict().items()}
    save_file(
        {name: value.contiguous() for name, value in state.items()}, folder / "clip.safetensors", {"config": json.dumps(CLIP)}
    )
    return folder / "clip.safetensors"


@pytest.fixture
def pictures() -> list[np.ndarray]:
    draw = np.random.default_rng(0)
    return [draw.integers(0, 256, size, np.uint8) for size in [(16, 16, 3), (40, 24, 3), (64, 64, 3), (8, 50, 3), (32, 32, 3)]]
