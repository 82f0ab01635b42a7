"""calumma bank: builds from a folder, finds, describes; every answer also as one JSON object."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from calumma.bank import Bank
from calumma.cli.bank import app
from calumma.errors import BankError, CalummaError, InputError

from .test_bank_embedder import write_clip


def run(*words: object) -> str:
    """What is on stdout; an error is raised as it is, for the main command to print."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exception is not None:
        raise result.exception
    return result.stdout


def answer(*words: object) -> Any:
    return json.loads(run(*words, "--json"))


@pytest.fixture
def built(folder: Path, tmp_path: Path) -> Path:
    weights = write_clip(tmp_path / "clip.safetensors")
    (folder / "broken.png").write_bytes(b"no picture")
    (folder / "broken.txt").write_text("broken")
    options = ["--embedder", "openclip/clip", "--option", f"weights={weights}", "--option", "batch_size=8"]
    report = answer("build", folder, "--out", tmp_path / "cli.bank", *options)
    assert (report["read"], report["kept"]) == (13, 12)
    assert [one["name"] for one in report["skipped"]] == ["broken.png"]
    return tmp_path / "cli.bank"


def test_a_bank_is_built_searched_and_described(built: Path) -> None:
    hits = answer("search", built, "an apple", "-k", 3)["hits"]
    assert [sorted(hit) for hit in hits] == [["id", "score", "text"]] * 3
    assert all(isinstance(hit["id"], str) for hit in hits)
    facts = answer("info", built)
    assert (facts["documents"], facts["images"]) == (12, 12)
    assert hits[0]["id"] in run("search", built, "an apple", "-k", 1)
    assert Bank.open(built).fingerprint in run("info", built)


def test_what_is_there_is_refused_before_anything_is_loaded(built: Path, folder: Path) -> None:
    with pytest.raises(BankError, match="There is a bank"):
        run("build", folder, "--out", built, "--embedder", "openclip/nonsense")
    with pytest.raises(BankError, match="is not a bank"):
        run("build", folder, "--out", folder, "--overwrite")


def test_wrong_words_are_refused(folder: Path, tmp_path: Path) -> None:
    for words, error in [
        (("search", tmp_path / "gone", "x"), "There is no bank"),
        (("info", "nobody:memory"), "nobody"),
        (("build", tmp_path / "gone", "--out", tmp_path / "x"), "is not there"),
        (("build", folder, "--out", tmp_path / "x", "--embedder", "openclip/nope"), "no component 'openclip/nope'"),
        (("build", folder, "--out", tmp_path / "x", "--embedder", "openclip/clip", "--option", "weights"), "has no value"),
        (("build", folder, "--out", tmp_path / "x", "--option", "a=b"), "belongs to a component id"),
    ]:
        with pytest.raises(CalummaError, match=error):
            run(*words)
    assert not (tmp_path / "x").exists()


def test_an_empty_search_is_refused(built: Path) -> None:
    with pytest.raises(InputError, match="nothing to search for"):
        run("search", built, "")
