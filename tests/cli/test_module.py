"""The command as a program: `python -m calumma` is `calumma`, and asking for help costs nothing."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from .conftest import Calumma

HEAVY = ("torch", "faiss", "open_clip", "lance", "pyarrow", "transformers", "hnswlib")
VERBS = ("generate", "caption", "infill", "bank", "plugins", "registry")


def python(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)


def test_python_m_calumma_is_the_command() -> None:
    by_module, by_script = python("-m", "calumma", "--help"), [Path(sys.executable).with_name("calumma"), "--help"]
    ran = subprocess.run(by_script, capture_output=True, text=True, check=False)
    assert by_module.returncode == ran.returncode == 0
    assert by_module.stdout == ran.stdout
    assert all(verb in ran.stdout for verb in VERBS)


def test_the_version_is_that_of_the_distribution(calumma: Calumma) -> None:
    ran = calumma("--version")
    assert (ran.code, ran.out.strip()) == (0, version("calumma"))


def test_without_words_it_shows_help_and_fails(calumma: Calumma) -> None:
    ran = calumma()
    assert ran.code == 2
    assert "Usage: calumma" in ran.out + ran.err


@pytest.mark.parametrize("verb", ["generate", "caption", "infill"])
def test_every_verb_that_builds_a_pipeline_has_the_shared_flags(calumma: Calumma, verb: str) -> None:
    ran = calumma(verb, "--help")
    assert ran.code == 0
    for flag in ("--registry", "--pipeline", "--bank", "--swap", "--set", "--seed", "--device", "--json", "--debug"):
        assert flag in ran.out


@pytest.mark.parametrize("words", [(), ("generate",), ("caption",), ("bank",)], ids=" ".join)
def test_help_imports_nothing_heavy(words: tuple[str, ...]) -> None:
    code = f"""
import sys
from calumma.cli.main import run
sys.argv = ["calumma", *{words!r}, "--help"]
try:
    run()
except SystemExit:
    print("loaded:", *sorted(set({HEAVY!r}) & set(sys.modules)))
"""
    assert python("-c", code).stdout.splitlines()[-1] == "loaded:"
