"""calumma plugins new, as typed: what it prints, what it refuses, and that it writes all or nothing."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from calumma.cli.main import run
from calumma.errors import FailedError
from calumma.extension import Catalog
from calumma.scaffold import distribution, write

Ran = tuple[int, str, str]


@pytest.fixture
def new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Runs `calumma plugins new WORDS` in an empty folder: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def typed(*words: str) -> Ran:
        monkeypatch.setattr(sys, "argv", ["calumma", "plugins", "new", *words])
        with pytest.raises(SystemExit) as stopped:
            run()
        out, err = capsys.readouterr()
        return int(stopped.value.code or 0), out, err

    return typed


def test_it_says_what_to_type_next(new: Callable[..., Ran], tmp_path: Path) -> None:
    code, out, _ = new("my-rule", "--kind", "rule")
    assert code == 0
    assert "my-rule/min-p" in out
    steps = [line.strip() for line in out.splitlines() if line.startswith("  ")]
    assert steps == [
        "cd my-rule",
        "python -m pip install -e '.[test]'",
        "python -m pytest",
        "calumma plugins check my-rule",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["my-rule"]


def test_out_names_the_folder_itself_and_makes_those_above(new: Callable[..., Ran], tmp_path: Path) -> None:
    code, out, _ = new("my-rule", "--kind", "rule", "--out", "my plugins/first")
    assert code == 0
    assert "cd 'my plugins/first'" in out
    assert (tmp_path / "my plugins/first/pyproject.toml").is_file()


def test_an_empty_folder_is_filled(new: Callable[..., Ran], tmp_path: Path) -> None:
    (tmp_path / "my-rule").mkdir()
    assert new("my-rule", "--kind", "rule")[0] == 0
    assert (tmp_path / "my-rule/README.md").is_file()


def test_a_folder_that_holds_something_is_left_alone(new: Callable[..., Ran], tmp_path: Path) -> None:
    (tmp_path / "my-rule").mkdir()
    (tmp_path / "my-rule/mine.txt").write_text("mine")
    code, _, err = new("my-rule", "--kind", "rule")
    assert (code, err.count("\n")) == (2, 1)
    assert "my-rule holds something already" in err
    assert [path.name for path in (tmp_path / "my-rule").iterdir()] == ["mine.txt"]


def test_a_file_is_no_folder(new: Callable[..., Ran], tmp_path: Path) -> None:
    (tmp_path / "my-rule").write_text("mine")
    code, _, err = new("my-rule", "--kind", "rule")
    assert code == 2
    assert "my-rule" in err
    assert (tmp_path / "my-rule").read_text() == "mine"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("mine", "--kind", "retreiver"), "Did you mean 'retriever'?"),
        (("exact", "--kind", "rule"), "'exact' is installed"),
        (("plugins", "--kind", "rule"), "calumma_plugins"),
        (("My.Rule", "--kind", "rule"), "Call it my-rule."),
        (("../mine", "--kind", "rule"), "Call it mine."),
        (("calumma-mine", "--kind", "rule"), "Leave calumma- out: mine."),
        (("mine",), "--kind"),
    ],
)
def test_wrong_input_is_one_sentence_and_writes_nothing(
    words: tuple[str, ...], said: str, new: Callable[..., Ran], tmp_path: Path
) -> None:
    code, out, err = new(*words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err
    assert not list(tmp_path.iterdir())


def test_an_error_is_one_json_value_too(new: Callable[..., Ran]) -> None:
    code, out, _ = new("hf", "--kind", "rule", "--json")
    assert code == 2
    assert json.loads(out)["error"]["fix"] == "Call it my-hf."


@pytest.mark.parametrize("there", [True, False], ids=["an empty folder", "no folder"])
def test_where_the_disk_refuses_half_way_nothing_stays(there: bool, tmp_path: Path) -> None:
    plugin = distribution("mine", "rule", Catalog())
    impossible = replace(plugin, files={**plugin.files, "x" * 300: "a name that no disk takes"})
    if there:
        (tmp_path / "mine").mkdir()
    with pytest.raises(FailedError, match="cannot be written"):
        write(impossible, tmp_path / "mine")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"] * there
    assert not list(tmp_path.glob("mine/*"))
