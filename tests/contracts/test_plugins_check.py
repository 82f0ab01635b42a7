"""calumma plugins check, run as a plugin's author runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

MINE = """
from calumma.contracts.samples.retriever import DotRetriever
from calumma.extension import ComponentSpec, hookimpl
from calumma.interfaces import Asset, Options
from pydantic import Field

print("loading mine")

class Best(DotRetriever):
    def search(self, queries, k):
        print("noise!")
        return super().search(queries, k)

class Worst(DotRetriever):
    def search(self, queries, k):
        hits = super().search(queries, k)
        for i, count in enumerate(hits.counts):
            hits.keys[i, :count] = hits.keys[i, :count][::-1]
        return hits

class Heavy(Options):
    weights: Asset = Field(description="The weights.")

@hookimpl
def calumma_components():
    about = {"deletes": True, "grows": True, "filters": True, "exact": True}
    yield ComponentSpec("retriever", "mine/best", "Finds.", "mine:Best", "calumma.interfaces:Options", capabilities=about)
    yield ComponentSpec("retriever", "mine/worst", "Finds.", "mine:Worst", "calumma.interfaces:Options", capabilities=about)
"""
HEAVY = """
    yield ComponentSpec("retriever", "heavy/weighty", "Finds.", "heavy:Best", "heavy:Heavy", capabilities=about)
"""
ODD_KIND = """
from calumma.extension import ComponentSpec, KindSpec, hookimpl
from calumma.interfaces import Component, Options

@hookimpl
def calumma_kinds():
    yield KindSpec("watermark", "Marks pictures.", "calumma.interfaces:Component")

@hookimpl
def calumma_components():
    yield ComponentSpec("watermark", "odd/mark", "Marks.", "calumma.interfaces:Component", "calumma.interfaces:Options")
"""
Check = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def check(tmp_path: Path) -> Check:
    """Runs `calumma plugins check WORDS` in a folder with three local plugins."""
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "heavy.py").write_text(MINE.replace("mine", "heavy") + HEAVY)
    (tmp_path / "odd.py").write_text(ODD_KIND)

    def run(*words: str, python: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *python, "-m", "calumma", "plugins", "check", *words]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)

    return run


def test_a_component_that_keeps_its_contract_is_told_rule_by_rule(check: Check) -> None:
    done = check("exact/flat")
    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    assert lines[0] == "exact/flat (retriever)"
    assert lines[-1].startswith(f"exact/flat keeps its contract ({len(lines) - 2} rules, ")
    assert all(line.startswith("  kept    ") for line in lines[1:-1])
    assert "  kept    Excluded keys are not returned, and the next best come in their place." in lines


def test_a_local_file_is_checked_only_where_that_is_allowed(check: Check) -> None:
    refused = check("./odd.py")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "is not run unasked" in refused.stderr
    assert "--allow-local" in refused.stderr
    missing = check("./other.py", "--allow-local")
    assert (missing.returncode, "There is no file ./other.py" in missing.stderr) == (2, True)


def test_a_broken_component_is_told_which_rule_it_breaks_and_how(check: Check) -> None:
    done = check("mine.py", "--allow-local")
    lines = done.stdout.splitlines()
    assert done.returncode == 1
    place = next(i for i, line in enumerate(lines) if line.startswith("  BROKEN  Any int64 keys come back"))
    assert lines[place + 1].startswith("          But ")
    assert "were not found first by their own query" in lines[place + 1]
    assert any(line.startswith("mine/best keeps its contract") for line in lines)
    assert any(line.startswith("mine/worst BREAKS ") for line in lines)
    assert lines[-1] == "mine.py: 1 of 2 components keep their contract."
    assert "noise!" not in done.stdout
    assert "noise!" in done.stderr

    facts = json.loads(check("mine.py", "--allow-local", "--json").stdout)
    assert facts["ok"] is False
    assert [(one["id"], one["kind"], one["ok"]) for one in facts["components"]] == [
        ("mine/best", "retriever", True),
        ("mine/worst", "retriever", False),
    ]
    rules = {one["name"]: one for one in facts["components"][1]["rules"]}
    broken = rules["test_keys_come_back_as_they_were_given"]
    assert set(broken) == {"name", "rule", "kept", "found", "seconds"}
    assert broken["kept"] is False
    assert broken["rule"].startswith("Any int64 keys")
    assert "were not found" in broken["found"]
    assert rules["test_hits_have_their_shapes"]["kept"] is True


def test_options_may_be_set_and_are_checked_first(check: Check) -> None:
    assert check("faiss/index", "--set", "factory=HNSW16", "--set", "ef_search=64").returncode == 0
    unknown = check("exact/flat", "--set", "blok=3")
    assert (unknown.returncode, unknown.stdout) == (2, "")
    assert "Did you mean 'block'?" in unknown.stderr
    outside = check("hnswlib/hnsw", "--set", "M=1")
    assert outside.returncode == 2
    assert "M: 1 is not valid" in outside.stderr
    assert check("exact/flat", "--set", "block").returncode == 2
    several = check("sampling", "--set", "top_p=0.5")
    assert several.returncode == 2
    assert "sampling/nucleus" in several.stderr


def test_what_a_component_needs_and_nobody_gave_is_named(check: Check) -> None:
    done = check("heavy.py", "--allow-local", "--json")
    assert done.returncode == 2
    error = json.loads(done.stdout)["error"]
    assert error["message"] == "heavy/weighty needs weights, and its plugin gives no example."
    assert error["fix"].endswith("Run: calumma plugins check heavy/weighty --set weights=...")


def test_names_that_mean_nothing_get_the_nearest(check: Check) -> None:
    for name, told in (("hnswlib/hnws", "Did you mean 'hnswlib/hnsw'?"), ("hnswlb", "Did you mean 'hnswlib'?")):
        done = check(name)
        assert (done.returncode, done.stdout) == (2, "")
        assert told in done.stderr


def test_a_kind_without_a_contract_cannot_be_checked(check: Check) -> None:
    done = check("odd.py", "--allow-local")
    assert done.returncode == 2
    assert "The kind 'watermark' has no contract." in done.stderr


def test_without_assertions_nothing_is_said_to_be_kept(check: Check) -> None:
    done = check("none/none", python=("-O",))
    assert (done.returncode, done.stdout) == (1, "")
    assert "-O" in done.stderr
