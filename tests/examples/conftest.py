from __future__ import annotations

from pathlib import Path

import pytest

from ..environments import Environment, layered
from .distributions import EXAMPLES, NAMES, write_pictures, write_registries


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """name -> the wheel of an example."""
    folder = tmp_path_factory.mktemp("examples")
    builder = layered(folder / "builder")
    return {name: builder.wheel(EXAMPLES / f"calumma-{name}", folder / name) for name in NAMES}


@pytest.fixture(scope="session")
def installed(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment on top of the tests' own, with the three wheels."""
    environment = layered(tmp_path_factory.mktemp("examples-installed") / "environment")
    environment.install(*wheels.values())
    return environment


@pytest.fixture(scope="session")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder: the registries of the READMEs, and a few pictures."""
    folder = tmp_path_factory.mktemp("examples-work")
    write_registries(folder)
    write_pictures(folder / "pictures")
    return folder
