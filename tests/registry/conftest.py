"""Registries written for one test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a registry on top of the shipped one: `write("components: ...")`; `name` and `bare` as they say."""

    def one(text: str, name: str = "mine.yaml", bare: bool = False) -> Path:
        file = tmp_path / name
        file.write_text(text if bare else f"calumma: 1\ninclude: [calumma:registry.yaml]\n{text}")
        return file

    return one
