"""The pictures that a tokenizer is trained on: those of a folder, or of a memory bank."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import calumma
import numpy as np
from calumma.documents import Pixels
from calumma.documents.pictures import read_picture, resize_to
from calumma.errors import InputError
from calumma.extension import Catalog

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"}
CHUNK = 256  # documents read at a time


def read_all(source: str, side: int) -> Pixels:
    """uint8 [N, side, side, 3]: every picture of a source, scaled to fit, padded with white.

    Args:
        source: a folder of pictures, a bank, or `PLUGIN:file`.

    Raises InputError where there are fewer than two pictures. AssetError and BankError where there is no such source.
    """
    path = Catalog().resolve_asset(source)
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES)
    pictures = map(read_picture, files) if files else _of_bank(path)
    found = [resize_to(pixels, (side, side)) for pixels in pictures]
    if len(found) < 2:
        raise InputError(f"{source} holds {len(found)} pictures.", "Give a folder or a bank with more.")
    return np.stack(found)


def _of_bank(path: Path) -> Iterator[Pixels]:
    bank = calumma.Bank.open(path)
    for start in range(0, len(bank), CHUNK):
        for document in bank.documents(bank.keys[start : start + CHUNK].tolist()):
            if document.image is not None and document.image.pixels is not None:
                yield document.image.pixels


def split(count: int, seed: int) -> tuple[list[int], list[int]]:
    """(rows to train on, rows held out): one in sixteen is held out, at least one and at most 256."""
    order = np.random.default_rng(seed).permutation(count).tolist()
    held = min(256, max(1, count // 16))
    return order[held:], order[:held]


def sheet(rows: list[Pixels], gap: int = 4) -> Pixels:
    """uint8 [H, W, 3]: pictures [N, h, w, 3] of each row side by side, the rows below each other, on white."""
    count, height, width, _ = rows[0].shape
    page = np.full((len(rows) * (height + gap) + gap, count * (width + gap) + gap, 3), 255, np.uint8)
    for i, row in enumerate(rows):
        for j, picture in enumerate(row):
            top, left = gap + i * (height + gap), gap + j * (width + gap)
            page[top : top + height, left : left + width] = picture
    return page
