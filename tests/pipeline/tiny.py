"""A whole registry of tiny parts with random weights, written as files: real plugins, real banks, a second to draw."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import PIL.Image
import torch

from calumma.bank import ImageFolder, build
from calumma.extension import Catalog
from calumma_plugins.openclip.example import write_clip
from calumma_plugins.taming.example import write_vqgan
from calumma_plugins.tokenizers.example import write_bpe

SIDE, CELL, CODES = 16, 4, 24  # of taming's example
COLOURS = {"red": (200, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 200), "grey": (120, 120, 120)}
SHAPES = ("square", "disc", "cross")
REGISTRY = """\
calumma: 1
banks:
  tiny: {path: memory}
  foreign: {path: foreign}
components:
  image_tokenizer:
    tiny: {use: taming/vqgan, weights: tokenizer.safetensors}
    another: {use: taming/vqgan, weights: another-tokenizer.safetensors}
  text_tokenizer:
    tiny: {use: tokenizers/bpe, file: bpe.json}
  embedder:
    tiny: {use: openclip/clip, weights: clip.safetensors}
    another: {use: openclip/clip, weights: another-clip.safetensors}
  retriever:
    exact: {use: exact/flat}
    hnsw: {use: hnswlib/hnsw}
    faiss: {use: faiss/index, factory: Flat}
    none: {use: none/none}
  selection:
    tiny: {use: selection/cm3leon, documents: 2, score_cap: 1, part_cap: 1, diversity_cap: 1}
  decoder:
    tiny: {use: cm3leon/decoder, weights: decoder.safetensors}
  sampler:
    nucleus: {use: sampling/nucleus}
pipelines:
  default:
    bank: tiny
    image_tokenizer: tiny
    text_tokenizer: tiny
    embedder: tiny
    retriever: exact
    selection: tiny
    decoder: tiny
    sampler: nucleus
  no-retrieval: {extends: default, retriever: none}
  bankless: {image_tokenizer: tiny, text_tokenizer: tiny, embedder: tiny, retriever: exact, selection: tiny,
             decoder: tiny, sampler: nucleus}
"""


def make(folder: Path) -> Path:
    """Writes everything into a folder and returns its registry.yaml."""
    folder.mkdir(parents=True, exist_ok=True)
    write_vqgan(folder / "tokenizer.safetensors", 0)
    write_vqgan(folder / "another-tokenizer.safetensors", 1)
    write_bpe(folder / "bpe.json", [f"a {colour} {shape}" for colour in COLOURS for shape in SHAPES])
    write_clip(folder / "clip.safetensors", 0)
    write_clip(folder / "another-clip.safetensors", 1)
    _decoder(folder)
    pictures = _pictures(folder / "pictures")
    catalog = Catalog()
    for bank, weights in (("memory", "clip"), ("foreign", "another-clip")):
        embedder = catalog.build("embedder", "openclip/clip", {"weights": str(folder / f"{weights}.safetensors")})
        embedder.warm_up()
        build(ImageFolder(pictures), folder / bank, embedder, progress=False)
    (folder / "registry.yaml").write_text(REGISTRY)
    return folder / "registry.yaml"


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A picture whose every pixel is its own: what is kept and what is not can be told apart."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def _decoder(folder: Path) -> None:
    from calumma_plugins.cm3leon.config import ModelConfig
    from calumma_plugins.cm3leon.model import Transformer
    from calumma_plugins.cm3leon.weights import save_weights

    catalog = Catalog()
    image = catalog.build("image_tokenizer", "taming/vqgan", {"weights": str(folder / "tokenizer.safetensors")})
    text = catalog.build("text_tokenizer", "tokenizers/bpe", {"file": str(folder / "bpe.json")})
    config = ModelConfig(layers=2, width=32, heads=4, context=256, text_size=text.size, codebook_size=CODES)
    model, generator = Transformer(config), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(std=0.3, generator=generator)
    fingerprints = {"image_tokenizer": image.fingerprint(), "text_tokenizer": text.fingerprint()}
    save_weights(folder / "decoder.safetensors", model, config, fingerprints)


def _pictures(folder: Path) -> Path:
    folder.mkdir()
    lines = []
    for row, (colour, rgb) in enumerate(COLOURS.items()):
        for column, shape in enumerate(SHAPES):
            pixels = np.full((SIDE, SIDE, 3), rgb, np.uint8)
            pixels[column * 4 : column * 4 + 3, row : row + 9] = 255
            name = f"{colour}-{shape}"
            PIL.Image.fromarray(pixels).save(folder / f"{name}.png")
            lines.append(json.dumps({"file_name": f"{name}.png", "text": f"a {colour} {shape}", "id": name}))
    (folder / "metadata.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder
