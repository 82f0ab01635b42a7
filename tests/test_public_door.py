"""Our own plugins use what anybody's may: the public names of four packages of the core, and no other plugin."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PLUGINS = ROOT / "plugins" / "calumma_plugins"
DOOR = ("calumma.interfaces", "calumma.documents", "calumma.errors", "calumma.files", "calumma.extension")
MODULES = sorted(PLUGINS.rglob("*.py"))
MAX_LINES = 450


def imported(tree: ast.Module, package: list[str]) -> Iterator[str]:
    """Every dotted name that a module imports, wherever in it: `from a.b import c` as a.b.c, relative ones made absolute."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def trespasses(source: str, package: list[str]) -> list[str]:
    """The imports of a plugin's module that go past the public door."""
    found = []
    for name in imported(ast.parse(source), package):
        head, *rest = name.split(".")
        if head == "calumma":
            allowed = ".".join([head, *rest[:1]]) in DOOR and not any(part.startswith("_") for part in rest)
        elif head == "calumma_plugins":
            allowed = rest[:1] == package[1:2]
        else:
            allowed = True
        if not allowed:
            found.append(name)
    return found


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.relative_to(PLUGINS).as_posix())
def test_a_plugin_imports_public_names_alone(module: Path) -> None:
    package = ["calumma_plugins", *module.relative_to(PLUGINS).parent.parts]
    assert trespasses(module.read_text(encoding="utf-8"), package) == []


@pytest.mark.parametrize(
    ("source", "allowed"),
    [
        ("import torch\nfrom calumma.interfaces import Retriever", True),
        ("from calumma.documents.tasks import caption", True),
        ("from .options import FlatOptions", True),
        ("from calumma_plugins.exact.options import FlatOptions", True),
        ("import calumma", False),
        ("from calumma import Bank", False),
        ("from calumma.bank import Bank", False),
        ("from calumma.interfaces import _private", False),
        ("from calumma.extension._loading import load", False),
        ("from calumma_plugins.hnswlib.hnsw import HNSW", False),
        ("from ..hnswlib import hnsw", False),
        ("def later():\n    import calumma.pipeline", False),
    ],
)
def test_the_door_is_guarded(source: str, allowed: bool) -> None:
    assert (trespasses(source, ["calumma_plugins", "exact"]) == []) is allowed


def sources(*folders: str) -> list[Path]:
    skipped = ROOT / "plugins" / "starter" / "recipe" / "work"
    return sorted(path for one in folders for path in (ROOT / one).rglob("*.py") if skipped not in path.parents)


def test_every_module_says_what_it_is_for() -> None:
    mute = [path for path in sources("core", "plugins") if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))]
    assert mute == []


def test_no_file_has_grown_past_one_subject() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in sources("core", "plugins", "tests")}
    assert {path: count for path, count in lengths.items() if count > MAX_LINES} == {}
    assert len(lengths) > 100
