from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import calumma

from .tiny import make


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def load(registry: Path) -> Callable[..., calumma.Pipeline]:
    """`calumma.load` of the tiny registry on the CPU."""

    def loaded(pipeline: str = "default", **more: object) -> calumma.Pipeline:
        return calumma.load(registry, pipeline=pipeline, device="cpu", **more)

    return loaded


@pytest.fixture(scope="session")
def pipeline(load: Callable[..., calumma.Pipeline]) -> calumma.Pipeline:
    return load()
