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


def test_timing_says_what_each_plugin_costs_the_slowest_first(run, tmp_path):
    (tmp_path / "site" / "calumma_odd_plugin.py").write_text("import time, sndhdr_of_odd\ntime.sleep(0.3)\n")
    (tmp_path / "site" / "sndhdr_of_odd.py").write_text("")
    found = json.loads(run("plugins", "list", "--timing", "--json").stdout)
    first, *others = found["plugins"]
    assert (first["plugin"], first["modules"]) == ("odd", 2)
    assert first["import_seconds"] > 0.3
    assert {"exact", "faiss", "mine", "sampling"} <= {one["plugin"] for one in others}
    costs = [one["import_seconds"] + one["ask_seconds"] for one in found["plugins"]]
    assert costs == sorted(costs, reverse=True)
    assert found["total_seconds"] == pytest.approx(sum(costs))
    lines = run("plugins", "list", "--timing").stdout.splitlines()
    assert lines[0].split() == ["plugin", "import", "s", "ask", "s", "modules"]
    assert (lines[1].split()[0], lines[-1].split()[0]) == ("odd", "total")


def test_a_plugin_that_offers_only_kinds_is_listed_with_them(run, tmp_path):
    (tmp_path / "site" / "calumma_odd_plugin.py").write_text(
        "from calumma.extension import KindSpec, hookimpl\n"
        "@hookimpl\n"
        "def calumma_kinds():\n"
        "    yield KindSpec('watermark', 'Marks pictures.', 'calumma.interfaces:Component')\n"
    )
    (row,) = [row for row in json.loads(run("plugins", "list", "--json").stdout) if row["plugin"] == "odd"]
    assert (row["id"], row["status"], row["reason"]) == (None, "available", "offers the kind watermark")
    assert "offers the kind watermark" in run("plugins", "list").stdout
