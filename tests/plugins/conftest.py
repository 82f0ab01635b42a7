"""Small real parts for the plugins' tests: a tiny VQGAN, a tiny CLIP, pictures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from calumma.interfaces import Asset
from calumma_plugins.taming.example import write_vqgan


def asset(path: Path) -> Asset:
    return Asset(str(path), path)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """For networks so small that threads would do nothing but wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def vqgan_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vqgan") / "tokenizer.safetensors"
    write_vqgan(path)
    return path


@pytest.fixture(scope="session")
def vqgan_state(vqgan_file: Path) -> dict[str, torch.Tensor]:
    return load_file(vqgan_file)


@pytest.fixture(scope="session")
def clip_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random CLIP, its weights stored as float16; open_clip knows its architecture as "tests-tiny-clip"."""
    import open_clip

    from calumma_plugins.openclip.example import TINY, write_clip

    folder = tmp_path_factory.mktemp("clip")
    (folder / "tests-tiny-clip.json").write_text(json.dumps(TINY["model_cfg"]))
    open_clip.add_model_config(folder / "tests-tiny-clip.json")
    path = folder / "clip.safetensors"
    write_clip(path)
    state = {name: value.half() if value.is_floating_point() else value for name, value in load_file(path).items()}
    save_file(state, path, {"config": json.dumps(TINY)})
    return path


@pytest.fixture
def pictures() -> list[np.ndarray]:
    draw = np.random.default_rng(0)
    return [draw.integers(0, 256, size, np.uint8) for size in [(16, 16, 3), (40, 24, 3), (64, 64, 3), (8, 50, 3), (32, 32, 3)]]
