"""Checks a file of hnswlib (0.8 and later) before hnswlib reads it: its reader follows every offset and link unchecked.

Layout, little-endian: a header; per element its links of the lowest level, its vector and its label; then per element
the byte count of its links of the higher levels, and those.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from calumma.documents import BoolArray, IntArray

_HEADER = np.dtype(
    [
        ("offset", "<u8"), ("capacity", "<u8"), ("count", "<u8"), ("element", "<u8"), ("label", "<u8"), ("data", "<u8"),
        ("top", "<i4"), ("entry", "<u4"), ("most", "<u8"), ("most_lowest", "<u8"), ("M", "<u8"), ("scale", "<f8"),
        ("ef", "<u8"),
    ]
)  # fmt: skip
MAX_M, MAX_EF = 10_000, 1_000_000
BLOCK = 65_536


def check_graph(path: Path, dimension: int, live: BoolArray) -> None:
    """Raises ValueError unless the file is a whole graph of vectors of this dimension, deleted where `live` is False.

    Args:
        live: bool [n], by label; labels are 0..n-1.
    """
    content = np.memmap(path, np.uint8, "r")
    _must(len(content) >= _HEADER.itemsize, "is cut off")
    header = content[: _HEADER.itemsize].view(_HEADER)[0]
    count, most, lowest = len(live), int(header["most"]), int(header["most_lowest"])
    _check_header(header, count, dimension)
    size = int(header["element"])
    end = _HEADER.itemsize + count * size
    _must(len(content) >= end, "is cut off")
    element = np.dtype(
        {
            "names": ["links", "flags", "ids", "vector", "label"],
            "formats": ["<u2", "u1", ("<u4", (lowest,)), ("<f4", (dimension,)), "<u8"],
            "offsets": [0, 2, 4, int(header["data"]), int(header["label"])],
            "itemsize": size,
        }
    )
    elements = content[_HEADER.itemsize : end].view(element)
    labels = elements["label"]
    _must(bool((np.sort(labels) == np.arange(count)).all()), "has labels that are not its own")
    deleted = (elements["flags"] & 1).astype(bool)
    _must(bool((deleted == ~live[labels.astype(np.int64)]).all()), "does not agree on what was removed")
    _must(
        all(np.isfinite(elements["vector"][start : start + BLOCK]).all() for start in range(0, count, BLOCK)),
        "has vectors that are none",
    )
    tail = content[end:]
    _must(len(tail) % 4 == 0, "is cut off")
    words = tail.view("<u4")
    levels, starts = _levels(words, count, 1 + most)
    highest = int(levels.max())
    _must(int(header["top"]) == highest == int(levels[int(header["entry"])]), "has no entry to its highest level")
    for start in range(0, count, BLOCK):
        block = elements[start : start + BLOCK]
        _check_links(block["links"], block["ids"], levels, 0)
    for level in range(1, highest + 1):
        places = starts[levels >= level] + (level - 1) * (1 + most)
        for start in range(0, len(places), BLOCK):
            rows = words[places[start : start + BLOCK, None] + np.arange(1 + most)]
            _check_links(rows[:, 0] & 0xFFFF, rows[:, 1:], levels, level)


def _check_header(header: np.void, count: int, dimension: int) -> None:
    most, lowest = int(header["most"]), int(header["most_lowest"])
    links, vector = 4 + 4 * lowest, 4 * dimension
    told = tuple(int(header[name]) for name in ("offset", "count", "element", "label", "data", "M"))
    _must(0 < count == told[1] <= int(header["capacity"]), "does not hold as many vectors as there are keys")
    _must(2 <= most <= MAX_M and lowest == 2 * most, "has an impossible number of links")
    _must(told == (0, count, links + vector + 8, links + vector, links, most), "has an impossible header")
    _must(
        math.isclose(float(header["scale"]), 1 / math.log(most)) and 0 < int(header["ef"]) <= MAX_EF, "has an impossible header"
    )
    _must(int(header["entry"]) < count, "has no entry")


def _levels(words: npt.NDArray[np.uint32], count: int, size: int) -> tuple[IntArray, IntArray]:
    """Per element its highest level, and the index of its first word of links above the lowest level.

    Args:
        words: of the higher levels: per element a byte count, then as many bytes. size: words of one level of an element.
    """
    levels, starts = np.zeros(count, np.int64), np.zeros(count, np.int64)
    counts = np.flatnonzero(words)  # most elements have no higher level: their zeros are skipped in one step
    position = element = 0
    while (found := int(np.searchsorted(counts, position))) < len(counts):
        element += int(counts[found]) - position
        position = int(counts[found])
        level, rest = divmod(int(words[position]), 4 * size)
        _must(element < count and rest == 0 and position + 1 + level * size <= len(words), "has impossible levels")
        levels[element], starts[element] = level, position + 1
        position += 1 + level * size
        element += 1
    _must(len(words) - position == count - element, "is longer or shorter than its elements")
    return levels, starts


def _check_links(counts: npt.NDArray[Any], ids: npt.NDArray[np.uint32], levels: IntArray, level: int) -> None:
    """Links [rows, most] of one level, of which `counts` [rows] are in use, lead to elements that have this level."""
    _must(bool((counts <= ids.shape[1]).all()), "has an impossible number of links")
    used = ids[np.arange(ids.shape[1]) < counts[:, None]]
    _must(bool((used < len(levels)).all()) and bool((levels[used] >= level).all()), "has links that lead nowhere")


def _must(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)
