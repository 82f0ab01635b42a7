"""What is shipped is what the repository says: versions, entry points, the registry, and every snippet of the README."""

from __future__ import annotations

import importlib
import re
import shlex
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points, version
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

import calumma
from calumma.cli.main import run
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


# --- the README, run from top to bottom as a reader would ---

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"`([\w-]+\.(?:py|yaml))`")


def blocks() -> list[tuple[str, str, str]]:
    """(language, the paragraph before, content) of each fenced block of the README."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return [(found[1], text[: found.start()].rstrip().rpartition("\n\n")[2], found[2]) for found in FENCE.finditer(text)]


def test_the_readme_has_snippets_of_python_and_of_the_shell() -> None:
    assert {"python", "sh"} <= {language for language, _, _ in blocks()}
    assert {language for language, _, _ in blocks()} <= {"python", "sh", "yaml"}


def test_every_snippet_of_the_readme_does_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("calumma_starter")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "registry.yaml").write_bytes((ROOT / "registry.yaml").read_bytes())
    some_pictures(tmp_path / "my-folder")
    for language, before, content in blocks():
        names = FILE.findall(before)
        if names and language != "sh":  # the paragraph says where the block belongs: "in `mine.py`:"
            (tmp_path / names[-1]).write_text(content, encoding="utf-8")
        elif language == "python":
            exec(compile(content, "README.md", "exec"), {"__name__": "__main__"})
        elif language == "sh":
            for line in content.replace("\\\n", " ").splitlines():
                do(shlex.split(line, comments=True), monkeypatch, capsys)
        else:
            pytest.fail(f"nobody knows what this block is for:\n{content}")


def do(words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """One line of a shell: ours is run, `make` is asked whether it could."""
    if not words:
        return
    if words[0] == "make":
        subprocess.run(["make", "-n", "-C", str(ROOT), *words[1:]], check=True, capture_output=True)
        return
    assert Path(words[0]).name == "calumma", f"no test runs {words}"
    monkeypatch.setattr(sys, "argv", ["calumma", *words[1:]])
    with pytest.raises(SystemExit) as stopped:
        run()
    out, err = capsys.readouterr()
    assert stopped.value.code == 0, f"{shlex.join(words)}\n{out}{err}"


def some_pictures(folder: Path) -> None:
    """The reader's own: pictures with a .txt each."""
    folder.mkdir()
    for i, name in enumerate(("an old key", "a green leaf", "a blue door")):
        pixels = np.random.default_rng(i).integers(0, 256, (40, 50, 3), np.uint8)
        PIL.Image.fromarray(pixels).save(folder / f"{i}.png")
        (folder / f"{i}.txt").write_text(name)
