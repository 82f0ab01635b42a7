"""The example distributions: their files, the registries of their READMEs, and the pictures that they are tried with."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from calumma.documents.pictures import write_png

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
NAMES = ("fsq", "usearch", "watermark")
COMPONENTS = {"fsq/tokenizer": "image_tokenizer", "usearch/index": "retriever", "watermark/lsb": "watermark"}
PROMPT = "a red apple, noto style"
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(name: str, language: str) -> list[str]:
    """The fenced blocks of a README in one language."""
    text = (EXAMPLES / f"calumma-{name}" / "README.md").read_text(encoding="utf-8")
    return [found[2] for found in _FENCE.finditer(text) if found[1] == language]


def write_registries(folder: Path) -> None:
    """NAME.yaml for each example: the registry that its README shows."""
    for name in NAMES:
        (registry,) = blocks(name, "yaml")
        (folder / f"{name}.yaml").write_text(registry, encoding="utf-8")


def write_pictures(folder: Path) -> Path:
    """Four plain pictures to train on."""
    folder.mkdir()
    for i in range(4):
        write_png(folder / f"{i}.png", np.full((16, 16, 3), 60 * i, np.uint8))
    return folder
