"""What a reader of the pages has at hand: pictures, weights; made here from noise and from the starter."""

from __future__ import annotations

import json
import shutil
from importlib.resources import files
from pathlib import Path

import numpy as np
import PIL.Image

NAMES = ("an old key", "a green leaf", "a blue door")


def lay_out(page: str, folder: Path) -> None:
    """Puts into `folder` what the page takes for granted."""
    for name in ("my-folder", "my-pictures"):
        if name in page:
            pictures(folder / name)
    if "my-vqgan.ckpt" in page:
        vqgan(folder)
    for name, source in (("my-decoder", "decoder"), ("my-clip", "embedder")):
        if f"{name}.safetensors" in page:
            shutil.copy(starter(f"{source}.safetensors"), folder / f"{name}.safetensors")
    if "my-chameleon" in page:
        chameleon(folder / "my-chameleon")
    if "my-bpe.json" in page:
        shutil.copy(starter("bpe.json"), folder / "my-bpe.json")


def starter(name: str) -> Path:
    """A file of the starter."""
    return Path(str(files("calumma_starter"))) / "assets" / name


def pictures(folder: Path) -> None:
    """Three pictures with a .txt each."""
    folder.mkdir()
    for i, name in enumerate(NAMES):
        pixels = np.random.default_rng(i).integers(0, 256, (40, 50, 3), np.uint8)
        PIL.Image.fromarray(pixels).save(folder / f"{i}.png")
        (folder / f"{i}.txt").write_text(name, encoding="utf-8")


def chameleon(folder: Path) -> None:
    """A Chameleon of random weights as a hub has it, with the vqgan.ckpt that Meta publish beside theirs."""
    from calumma_plugins.transformers.example import write_chameleon

    write_chameleon(folder)


def vqgan(folder: Path) -> None:
    """The starter's tokenizer as CompVis publish theirs: a Lightning checkpoint, and the YAML of the model beside it."""
    import torch
    import yaml
    from safetensors import safe_open

    with safe_open(starter("tokenizer.safetensors"), "pt") as file:
        config = json.loads(file.metadata()["config"])
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no mapping)
    model = {"target": "taming.models.vqgan.VQModel", "params": config}
    torch.save({"state_dict": state}, folder / "my-vqgan.ckpt")
    (folder / "my-vqgan.yaml").write_text(yaml.safe_dump({"model": model}), encoding="utf-8")
