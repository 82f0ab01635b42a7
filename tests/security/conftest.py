"""Hostile files, and a canary: a file that comes to be only where one of them ran code."""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from calumma.cli.main import run
from calumma.errors import CalummaError

from ..pipeline.tiny import make


@dataclass(frozen=True)
class Canary:
    """`path` exists once code of a hostile file ran."""

    path: Path

    @property
    def command(self) -> str:
        """A shell command that makes it."""
        return f"touch '{self.path}'"

    def pickled(self, protocol: int = 2) -> bytes:
        """A pickle that makes it when it is loaded by `pickle.load`."""
        return pickle.dumps(_Runs(self.command), protocol)


class _Runs:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (self.command,)


@pytest.fixture(autouse=True)
def canary(tmp_path: Path) -> Iterator[Canary]:
    one = Canary(tmp_path / "code-ran")
    yield one
    assert not one.path.exists(), "A hostile file ran code."


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, an empty cache, and nothing to be fetched."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("CALUMMA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("CALUMMA_TRUST_INDEXES", raising=False)
    monkeypatch.delenv("CALUMMA_BLOCK", raising=False)
    return folder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry of small real parts."""
    return make(tmp_path_factory.mktemp("security"))


Refused = Callable[..., str]


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], here: Path) -> Refused:
    """Runs the command with these words, sees it refused as every wrong input is, and gives what it said."""

    def run_refused(*words: object) -> str:
        monkeypatch.setattr(sys, "argv", ["calumma", *map(str, words)])
        before = sorted(here.rglob("*"))
        with pytest.raises(SystemExit) as stopped:
            run()
        said = capsys.readouterr()
        assert stopped.value.code == 2, said
        assert said.out == "", said
        assert said.err.startswith("calumma: "), said
        assert "Traceback" not in said.err
        assert sorted(here.rglob("*")) == before, "It left something half-written."
        return said.err

    return run_refused


def sentence(error: CalummaError) -> str:
    """What a refusal says; it must be one or two sentences that end."""
    assert error.exit_code == 2
    assert error.message.rstrip().endswith((".", "!", "?")), error.message
    return str(error)
