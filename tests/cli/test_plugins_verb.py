"""calumma plugins, run as a user runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BROKEN = {"mine": "raise SystemExit('no')", "odd": "1 / 0"}


@pytest.fixture
def run(tmp_path):
    """Runs `calumma WORDS` in an empty folder, with two broken plugins installed beside ours."""
    site = tmp_path / "site"
    for plugin, code in BROKEN.items():
        info = site / f"calumma_{plugin}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: calumma-{plugin}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[calumma.plugins.v1]\n{plugin} = calumma_{plugin}_plugin\n")
        (site / f"calumma_{plugin}_plugin.py").write_text(f"print('noise')\n{code}\n")

    def one(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        variables = {**os.environ, "PYTHONPATH": str(site), **environment}
        command = [sys.executable, "-m", "calumma", *words]
        return subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=60)

    return one


def test_broken_plugins_are_listed_with_their_reasons_and_the_others_work(run):
    done = run("plugins", "list", "--json")
    rows = {row["id"] or row["plugin"]: row for row in json.loads(done.stdout)}
    assert done.returncode == 0
    assert rows["mine"] == {
        "id": None, "kind": None, "plugin": "mine", "distribution": "calumma-mine", "version": "1.0", "status": "broken",
        "reason": "SystemExit: no",
    }  # fmt: skip
    assert rows["odd"]["reason"] == "ZeroDivisionError: division by zero"
    assert rows["exact/flat"]["status"] == "available"
    assert "noise" in done.stderr


def test_help_and_the_table_survive_broken_plugins(run):
    assert "plugins" in run("--help").stdout
    table = run("plugins", "list").stdout
    assert "hnswlib/hnsw" in table
    assert "ZeroDivisionError: division by zero" in table


def test_a_blocked_plugin_is_listed_as_blocked(run):
    rows = json.loads(run("plugins", "list", "--json", CALUMMA_BLOCK="mine").stdout)
    assert [row["status"] for row in rows if row["plugin"] == "mine"] == ["blocked"]


def test_show_explains_a_component(run):
    facts = json.loads(run("plugins", "show", "hnswlib/hnsw", "--json").stdout)
    options = {option["name"]: option for option in facts["options"]}
    assert options["M"]["default"] == 32
    assert options["M"]["type"] == "integer 2..512"
    assert options["M"]["description"]
    assert facts["install"] == "pip install 'calumma[hnswlib]'"
    words = run("plugins", "show", "taming/vqgan").stdout
    assert "weights" in words
    assert "required" in words


def test_show_explains_a_plugin_with_all_its_components(run):
    facts = json.loads(run("plugins", "show", "sampling", "--json").stdout)
    assert {one["id"] for one in facts["components"]} >= {"sampling/nucleus", "sampling/top-k"}


def test_an_unknown_or_broken_name_is_one_sentence_and_exit_2(run):
    unknown = run("plugins", "show", "hnswlib/hnws", "--json")
    assert unknown.returncode == 2
    error = json.loads(unknown.stdout)["error"]
    assert set(error) == {"message", "fix"}
    assert "hnswlib/hnsw" in error["fix"]
    broken = run("plugins", "show", "odd")
    assert broken.returncode == 2
    assert "ZeroDivisionError" in broken.stderr
    assert "Traceback" not in broken.stderr
    assert "Traceback" in run("plugins", "show", "odd", "--debug").stderr


def test_no_verb_and_a_misspelt_verb_say_what_there_is(run):
    assert "generate" in run().stderr
    wrong = run("plugins", "lst", "--json")
    assert (wrong.returncode, "list" in json.loads(wrong.stdout)["error"]["message"]) == (2, True)
    assert Path(run("--version").stdout.strip()).name[0].isdigit()
