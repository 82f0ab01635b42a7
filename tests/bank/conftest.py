"""A folder of small pictures with captions, a small honest embedder, and a bank made of both."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from pydantic import Field

from calumma.bank import Bank, ImageFolder, build
from calumma.interfaces import Embedder, Options, Vectors, normalised

COLOURS = {"red": (200, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 200), "white": (240, 240, 240)}
SHAPES = ("square", "disc", "cross")


class WordsOptions(Options):
    salt: str = Field("", description="Changes every vector.", json_schema_extra={"meaning": True})


class Words(Embedder):
    """Texts by their words, pictures by their mean colour as words would say it: enough for neighbours to make sense."""

    Options = WordsOptions
    dimension = 32

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        return normalised(np.array([sum(map(self._word, text.lower().split()), np.zeros(32)) for text in texts], np.float32))

    def embed_images(self, images: Sequence[np.ndarray]) -> Vectors:
        centres = np.array(list(COLOURS.values()))
        means = np.array([image.reshape(-1, 3).mean(0) for image in images])
        weights = np.exp(-((means[:, None] - centres) ** 2).sum(-1) / 20_000)
        return normalised((weights @ np.stack([self._word(name) for name in COLOURS])).astype(np.float32))

    def _word(self, word: str) -> np.ndarray:
        seed = int.from_bytes(hashlib.sha256((self.options.salt + word).encode()).digest()[:4], "big")
        return np.random.default_rng(seed).normal(size=32)


def words(salt: str = "") -> Words:
    embedder = Words(WordsOptions(salt=salt))
    embedder.id = "tests/words"
    return embedder


def picture(colour: tuple[int, int, int], shape: int, side: int = 12) -> np.ndarray:
    pixels = np.full((side, side, 3), colour, np.uint8)
    pixels[shape : shape + 2, 1:-1] = 0
    return pixels


def encoded(pixels: np.ndarray, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve pictures listed in metadata.jsonl, one of them as WebP."""
    root = tmp_path / "pictures"
    (root / "more").mkdir(parents=True)
    lines = []
    for i, (colour, rgb) in enumerate(COLOURS.items()):
        for j, shape in enumerate(SHAPES):
            kind = "webp" if (i, j) == (0, 0) else "png"
            name = f"{'more/' if j else ''}{colour}-{shape}.{kind}"
            (root / name).write_bytes(
                encoded(picture(rgb, j * 3), kind.upper(), **({"lossless": True} if kind == "webp" else {}))
            )
            lines.append(
                {"file_name": name, "text": f"a {colour} {shape}", "id": f"{colour}-{shape}", "style": "plain", "n": i}
            )
    (root / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n", encoding="utf-8")
    return root


@pytest.fixture
def bank(folder: Path, tmp_path: Path) -> Bank:
    build(ImageFolder(folder), tmp_path / "shapes.bank", words())
    return Bank.open(tmp_path / "shapes.bank")


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("CALUMMA_CACHE", str(folder))
    return folder
