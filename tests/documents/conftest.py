"""A small layout, and a document for it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from calumma.documents import CM3LeonLayout, Document, Text

sys.path.insert(0, str(Path(__file__).parent))  # pytest's importlib mode does not: tests share `layout_samples`

from layout_samples import CODES, GRID, PRINT, Bytes, image


@pytest.fixture
def layout() -> CM3LeonLayout:
    return CM3LeonLayout(Bytes(), CODES, GRID, PRINT, 256)


@pytest.fixture
def pair() -> Document:
    return Document((Text("ab"), image()))
