"""What is shipped is what the repository says: versions, entry points, the registry."""

from __future__ import annotations

import importlib
import re
import tomllib
from importlib.metadata import entry_points, version
from pathlib import Path

import pytest

import calumma
from calumma.registry import shipped

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
STARTER = tomllib.loads((ROOT / "plugins/starter/pyproject.toml").read_text(encoding="utf-8"))["project"]
PLUGINS = PROJECT["entry-points"]["calumma.plugins.v1"]


def test_the_version_is_said_once_everywhere() -> None:
    assert PROJECT["version"] == calumma.__version__ == version("calumma")
    assert f"calumma-starter=={STARTER['version']}" in PROJECT["optional-dependencies"]["starter"]


@pytest.mark.parametrize("name", PLUGINS)
def test_an_entry_point_names_a_plugin_that_offers_its_own_components(name: str) -> None:
    module = importlib.import_module(PLUGINS[name])
    offered = [spec.name for spec in module.calumma_components()]
    assert offered
    assert all(one.startswith(f"{name}/") for one in offered)
    (installed,) = entry_points(group="calumma.plugins.v1", name=name)
    assert installed.value == PLUGINS[name]


def test_every_plugin_has_an_entry_point() -> None:
    folders = {path.parent.name for path in (ROOT / "plugins/calumma_plugins").glob("*/__init__.py")}
    assert folders == set(PLUGINS)


def test_what_a_plugin_says_to_install_is_an_extra() -> None:
    extras = set(PROJECT["optional-dependencies"])
    for target in PLUGINS.values():
        for spec in importlib.import_module(target).calumma_components():
            assert not spec.requires or spec.install
            for extra in re.findall(r"calumma\[([\w,]+)\]", spec.install):
                assert set(extra.split(",")) <= extras


def test_the_command_is_installed() -> None:
    module, _, function = PROJECT["scripts"]["calumma"].partition(":")
    assert callable(getattr(importlib.import_module(module), function))


def test_the_shipped_registry_is_the_one_at_the_top() -> None:
    assert shipped().read_bytes() == (ROOT / "registry.yaml").read_bytes()
