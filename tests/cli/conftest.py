from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from calumma.cli.main import run

from ..pipeline.tiny import make


@dataclass(frozen=True)
class Ran:
    """What a call of the command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON value that stdout holds."""
        return json.loads(self.out)


Calumma = Callable[..., Ran]


@pytest.fixture
def calumma(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Calumma:
    """The command, run in this process with these words."""

    def called(*words: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["calumma", *map(str, words)])
        with pytest.raises(SystemExit) as stopped:
            run()
        out, err = capsys.readouterr()
        return Ran(int(stopped.value.code or 0), out, err)

    return called


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The registry of tiny parts, as in the pipeline's tests."""
    return make(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, so that a registry.yaml of the repository is not picked up."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("CALUMMA_BLOCK", raising=False)
    return folder
