"""The page of environment variables names every one that the code reads."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from terminal import ROOT

PAGE = (ROOT / "docs/how-to/environment-variables.md").read_text(encoding="utf-8")
NAMED_BY_OPTIONS = {ROOT / "plugins/calumma_plugins/milvus/server.py": "token_variable"}
SOURCES = sorted([*ROOT.glob("core/**/*.py"), *ROOT.glob("plugins/calumma_plugins/**/*.py")])


def variables(source: Path) -> Iterator[str]:
    """Names in `os.environ[...]`, `... in os.environ`, `os.environ.get(...)` and `os.getenv(...)`; constants are looked up."""
    tree = ast.parse(source.read_text(encoding="utf-8"))
    constants = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        name: ast.expr | None = None
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load) and _is_environ(node.value):
            name = node.slice
        elif isinstance(node, ast.Compare) and _is_environ(node.comparators[0]):
            name = node.left
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
            name = node.args[0] if _is_environ(node.func.value) or node.func.attr == "getenv" else None
        if name is None:
            continue
        said = constants.get(name.id, name) if isinstance(name, ast.Name) else name
        words = [one.value for one in ast.walk(said) if isinstance(one, ast.Constant) and isinstance(one.value, str)]
        told = f"`{NAMED_BY_OPTIONS.get(source)}`" in PAGE
        assert words or told, f"{source}:{node.lineno} reads a variable whose name is worked out"
        yield from (word for word in words if word.strip("_").isupper())


def _is_environ(node: ast.expr) -> bool:
    return (isinstance(node, ast.Attribute) and node.attr == "environ") or (isinstance(node, ast.Name) and node.id == "environ")


def test_every_variable_that_the_code_reads_is_on_the_page() -> None:
    read = {name for source in SOURCES for name in variables(source)}
    assert {"CALUMMA_BLOCK", "CALUMMA_CACHE"} <= read
    assert {name for name in read if f"`{name}`" not in PAGE} == set()


def test_every_calumma_variable_of_the_page_is_read() -> None:
    read = {name for source in SOURCES for name in variables(source)}
    assert set(re.findall(r"`(CALUMMA_\w+)`", PAGE)) <= read
