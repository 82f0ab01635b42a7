"""Throw-away distributions: real metadata and a real module on sys.path."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

RETRIEVER = """
from calumma.extension import ComponentSpec, hookimpl

TARGETS = "{module}_part:First", "{module}_options:FirstOptions"

@hookimpl
def calumma_components():
    yield ComponentSpec("retriever", "{plugin}/first", "Returns the first.", *TARGETS{more})
"""
OPTIONS = """
from pydantic import Field
from calumma.interfaces import Asset, Options

class FirstOptions(Options):
    depth: int = Field(1, ge=1, le=9, description="How deep.")
    file: Asset | None = Field(None, description="A file.")
"""
PART = """
import numpy as np
from calumma.interfaces import Hits, Retriever
from {module}_options import FirstOptions

class First(Retriever):
    Options = FirstOptions
    size = 0
    def add(self, entries): ...
    def remove(self, keys): ...
    def search(self, queries, k):
        n = len(queries)
        return Hits(np.full((n, k), -1), np.full((n, k), -np.inf, np.float32), np.zeros(n, np.int64))
    def save(self, folder): ...
    @classmethod
    def open(cls, folder, options): return cls(options)
"""

Install = Callable[..., Path]


def write_distribution(
    site: Path,
    plugin: str,
    code: str | None = None,
    *,
    distribution: str = "",
    group: str = "calumma.plugins.v1",
    more: str = "",
) -> Path:
    """A distribution `calumma-PLUGIN` in `site` whose entry point PLUGIN is the module PLUGIN_plugin."""
    distribution = distribution or f"calumma-{plugin}"
    module = distribution.replace("-", "_") + "_plugin"
    site.mkdir(exist_ok=True)
    info = site / f"{distribution.replace('-', '_')}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{plugin} = {module}\n")
    (site / f"{module}.py").write_text(RETRIEVER.format(plugin=plugin, module=module, more=more) if code is None else code)
    (site / f"{module}_options.py").write_text(OPTIONS)
    (site / f"{module}_part.py").write_text(PART.format(module=module))
    return site / f"{module}.py"


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Installs throw-away plugins for one test: `install("mine", code, group=..., distribution=...)`."""
    site = tmp_path / "site"
    site.mkdir()
    before = set(sys.modules)
    monkeypatch.syspath_prepend(site)

    def one(plugin: str, code: str | None = None, **about: str) -> Path:
        file = write_distribution(site, plugin, code, **about)
        importlib.invalidate_caches()
        return file

    yield one
    for name in set(sys.modules) - before:
        if name.startswith("calumma_") and not name.startswith("calumma_plugins"):
            del sys.modules[name]
