"""What `calumma plugins new` writes passes its own tests, lint and types as written, for every kind."""

from __future__ import annotations

import ast
import json
import re
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from calumma.contracts import rules_of
from calumma.extension import Catalog

from ..environments import Environment
from .conftest import KINDS, NAMES, Written

PUBLIC = {"calumma.documents", "calumma.errors", "calumma.extension", "calumma.interfaces"}


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("kind", KINDS)
def test_its_own_tests_pass_and_hold_every_rule_of_the_contract(kind: str, outcomes: dict[str, Any]) -> None:
    failed = {case.get("name"): [said.get("message") for said in case] for case in outcomes[kind] if len(case)}
    assert not failed
    rules, ran = set(rules_of(Catalog().contract(kind))), {case.get("name") for case in outcomes[kind]}
    assert rules <= ran
    assert ran - rules, "it has no test of its own option"


def test_they_are_clean_to_ruff_in_lint_and_format(environment: Environment, written: dict[str, Written]) -> None:
    folders = [str(one.folder) for one in written.values()]
    environment.run(["ruff", "check", "--no-cache", *folders])
    environment.run(["ruff", "format", "--no-cache", "--check", *folders])


def test_their_sources_and_tests_are_typed_strictly(
    environment: Environment, written: dict[str, Written], tmp_path: Path
) -> None:
    for one in written.values():  # eight modules of one name would be one to mypy
        shutil.copy(one.folder / "tests/test_contract.py", tmp_path / f"test_{one.kind}.py")
    sources = [str(one.folder / "src") for one in written.values()]
    environment.run(["mypy", "--strict", "--no-warn-unused-configs", "--cache-dir", "cache", *sources, "."], tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_the_installed_plugin_passes_its_check(kind: str, verdicts: dict[str, tuple[int, str]]) -> None:
    code, said = verdicts[kind]
    assert code == 0, said
    assert NAMES[kind] in said


def test_an_installed_plugin_is_listed_under_the_id_that_was_told(installed: Environment, written: dict[str, Written]) -> None:
    rows = {row["id"]: row for row in json.loads(installed.run(["calumma", "plugins", "list", "--json"]).stdout)}
    for one in written.values():
        row = rows[one.said["component"]]
        assert (row["kind"], row["plugin"], row["status"]) == (one.kind, one.name, "available")
        assert row["distribution"] == one.said["distribution"] == f"calumma-{one.name}"


def test_its_registry_is_valid(installed: Environment, written: dict[str, Written]) -> None:
    pytest.importorskip("calumma_starter")
    for one in written.values():
        installed.run(["calumma", "registry", "validate", "registry.yaml"], one.folder)


@pytest.mark.parametrize("kind", KINDS)
def test_every_source_file_has_under_60_lines_and_uses_the_public_door(kind: str, written: dict[str, Written]) -> None:
    for path in written[kind].package.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert sum(bool(line.strip()) for line in text.splitlines()) < 60, path.name
        imported = {node.module for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom) and node.module}
        own = written[kind].package.name
        assert {name for name in imported if name.startswith("calumma")} <= PUBLIC | {f"{own}.{part}" for part in names(path)}


def names(path: Path) -> list[str]:
    """The modules beside a file."""
    return [one.stem for one in path.parent.glob("*.py")]


@pytest.mark.parametrize("kind", KINDS)
def test_its_files_are_those_that_the_command_tells(kind: str, written: dict[str, Written]) -> None:
    one = written[kind]
    assert one.said["folder"] == one.name
    assert one.said["files"] == files(one.folder)
    package = f"src/calumma_{one.name.replace('-', '_')}"
    assert {f"{package}/__init__.py", f"{package}/options.py", f"{package}/{kind}.py", f"{package}/py.typed"} <= set(
        one.said["files"]
    )
    assert {"README.md", "pyproject.toml", "registry.yaml", "tests/test_contract.py", ".github/workflows/test.yml"} <= set(
        one.said["files"]
    )


@pytest.mark.parametrize("kind", KINDS)
def test_others_find_it_by_its_metadata(kind: str, written: dict[str, Written]) -> None:
    one = written[kind]
    project = tomllib.loads((one.folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["name"] == f"calumma-{one.name}"
    assert project["entry-points"]["calumma.plugins.v1"] == {one.name: one.package.name}
    assert {"calumma", "calumma-plugin", kind} <= set(project["keywords"])
    assert project["dependencies"][0].startswith("calumma>=")


@pytest.mark.parametrize("kind", KINDS)
def test_its_readme_shows_its_registry_and_the_commands_that_ci_runs(kind: str, written: dict[str, Written]) -> None:
    one = written[kind]
    readme = (one.folder / "README.md").read_text(encoding="utf-8")
    assert f"```yaml\n{(one.folder / 'registry.yaml').read_text(encoding='utf-8')}```" in readme
    workflow = yaml.safe_load((one.folder / ".github/workflows/test.yml").read_text(encoding="utf-8"))
    steps = [step["run"] for step in workflow["jobs"]["test"]["steps"] if "run" in step]
    assert f"calumma plugins check {one.name}" in steps
    for step in steps:
        assert step in readme


@pytest.mark.parametrize("kind", KINDS)
def test_no_placeholder_is_left(kind: str, written: dict[str, Written]) -> None:
    for path in files(written[kind].folder):
        text = (written[kind].folder / path).read_text(encoding="utf-8").replace("${{ matrix.python-version }}", "")
        assert not re.search(r"\$[a-z{]", path + text), path
