"""With --json stdout holds one JSON value, whatever a library prints there while the work is done."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

LOUD = """
import ctypes, os, sys
from calumma.extension import hookimpl

def shout():
    print("from python")
    os.write(1, b"from a descriptor\\n")
    ctypes.CDLL(None).puts(b"from C")
    sys.__stdout__.write("from what stdout was\\n")

@hookimpl
def calumma_pipeline_assembled(pipeline):
    shout()

@hookimpl
def calumma_generation_finished(task, result):
    shout()
"""
SHOUTS = ("from python", "from a descriptor", "from C", "from what stdout was")


@pytest.fixture
def registry(tiny: Path, tmp_path: Path) -> Path:
    """The tiny registry with an observer that prints in every way there is."""
    (tmp_path / "loud.py").write_text(LOUD)
    file = tmp_path / "loud.yaml"
    file.write_text(
        f"calumma: 1\ninclude: ['{os.path.relpath(tiny, tmp_path)}']\nplugins: {{local: [./loud.py], use: [loud]}}\n"
    )
    return file


def command(registry: Path, *words: str) -> subprocess.CompletedProcess[str]:
    called = [sys.executable, "-m", "calumma", *words, "--registry", str(registry), "--allow-local"]
    return subprocess.run(called, cwd=registry.parent, capture_output=True, text=True, timeout=300)


def test_what_libraries_print_goes_to_stderr(registry: Path) -> None:
    ran = command(registry, "generate", "a red disc", "--device", "cpu", "--json")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("\n") == 1
    assert Path(registry.parent, json.loads(ran.stdout)["images"][0]).is_file()
    assert {shout: ran.stderr.count(shout) for shout in SHOUTS} == dict.fromkeys(SHOUTS, 2)


def test_an_error_is_the_one_value_too(registry: Path) -> None:
    ran = command(registry, "generate", "a red disc", "--device", "abacus", "--json")
    assert ran.returncode == 2
    assert set(json.loads(ran.stdout)["error"]) == {"message", "fix"}
    assert all(shout in ran.stderr for shout in SHOUTS)


def test_without_json_nothing_is_moved(registry: Path) -> None:
    ran = command(registry, "generate", "a red disc", "--device", "cpu")
    assert ran.returncode == 0, ran.stderr
    assert "from a descriptor" in ran.stdout
    assert "from C" in ran.stdout


def test_help_is_printed_where_help_belongs(registry: Path) -> None:
    called = [sys.executable, "-m", "calumma", "generate", "--json", "--help"]
    ran = subprocess.run(called, capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "Usage: calumma generate" in ran.stdout


def test_a_closed_stdout_is_no_traceback(registry: Path) -> None:
    called = f"'{sys.executable}' -m calumma plugins list --json >&-"
    ran = subprocess.run(["sh", "-c", called], capture_output=True, text=True, timeout=60)
    assert "Traceback" not in ran.stderr
