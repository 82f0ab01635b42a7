"""Each extra alone, from wheels, in an environment that has nothing else: it installs, and what it is for works."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

COMPONENTS = {
    "taming": {"taming/vqgan"},
    "openclip": {"openclip/clip"},
    "tokenizers": {"tokenizers/bpe"},
    "faiss": {"faiss/index"},
    "hnswlib": {"hnswlib/hnsw"},
    "lance": {"lance/ivf"},
    "milvus": {"milvus/collection"},
    "bm25": {"bm25/text"},
    "transformers": {"transformers/chameleon", "transformers/chameleon-vq", "transformers/tokenizer"},
}
BRINGS_ALONG = {"transformers": {"taming/vqgan", "tokenizers/bpe"}}  # it draws and reads with their libraries
BESIDE_THE_STARTER = {"milvus", "bm25", "transformers"}  # lance comes with the bank
BANK = """
import sys
import numpy as np
import PIL.Image
from pathlib import Path
from calumma.bank import Bank, ImageFolder, build
from calumma.contracts.samples.embedder import HashEmbedder

pictures = Path("pictures")
pictures.mkdir()
for name in ("a red disc", "a blue cross"):
    PIL.Image.fromarray(np.full((8, 8, 3), len(name), np.uint8)).save(pictures / f"{name}.png")
    (pictures / f"{name}.txt").write_text(name)
embedder = HashEmbedder(HashEmbedder.Options())
embedder.id = "mine/hash"
print(build(ImageFolder(pictures), "bank", embedder, progress=False), file=sys.stderr)
print(Bank.open("bank").search("a red disc", 1, embedder=embedder)[0].document.text)
"""


class Fresh:
    """A new environment with wheels of this repository and what their dependencies name, from the package registry."""

    def __init__(self, folder: Path, wheels: Path) -> None:
        self.folder, self.wheels = folder / "env", wheels
        self.work = folder / "work"
        self.work.mkdir(parents=True)
        venv.create(self.folder, with_pip=True)

    def install(self, extra: str) -> None:
        (wheel,) = self.wheels.glob("calumma-*.whl")
        self.python("-m", "pip", "install", "--quiet", "--find-links", str(self.wheels), f"{wheel}[{extra}]", timeout=3000)

    def calumma(self, *words: str) -> Any:
        """What a verb prints with --json."""
        return json.loads(self.python("-m", "calumma", *words, "--json"))

    def python(self, *words: str, timeout: float = 600) -> str:
        variables = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "CALUMMA"))}
        done = subprocess.run(
            [str(self.folder / "bin/python"), *words],
            cwd=self.work,
            env={**variables, "PYTHONNOUSERSITE": "1"},
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert done.returncode == 0, f"{words}\n{done.stdout}{done.stderr}"
        return done.stdout


@pytest.fixture
def fresh(tmp_path: Path, wheels: Path) -> Iterator[Fresh]:
    """One at a time, for each holds gigabytes; gone afterwards."""
    yield Fresh(tmp_path, wheels)
    shutil.rmtree(tmp_path)


def available(environment: Fresh) -> set[str]:
    return {row["id"] for row in environment.calumma("plugins", "list") if row["status"] == "available" and row["id"]}


@pytest.mark.parametrize("extra", COMPONENTS)
def test_the_extra_of_a_plugin_makes_its_components_keep_their_contracts(fresh: Fresh, extra: str) -> None:
    fresh.install(extra)
    others = set().union(*COMPONENTS.values()) - COMPONENTS[extra]
    assert COMPONENTS[extra] <= available(fresh)
    assert not (others - BRINGS_ALONG.get(extra, set())) & available(fresh)
    fresh.python("-m", "calumma", "plugins", "check", extra)


def test_the_extra_bank_builds_and_searches_a_bank(fresh: Fresh) -> None:
    fresh.install("bank")
    assert fresh.python("-c", BANK).splitlines() == ["a red disc"]
    assert fresh.calumma("bank", "info", "bank")["documents"] == 2


@pytest.mark.parametrize("extra", ["starter", "all"])
def test_with_the_starter_the_first_command_draws(fresh: Fresh, extra: str) -> None:
    fresh.install(extra)
    drawn = fresh.calumma("generate", "a red apple, noto style", "--device", "cpu")
    assert [(fresh.work / path).read_bytes()[:4] for path in drawn["images"]] == [b"\x89PNG"]
    assert drawn["retrieved"]
    extras = set(COMPONENTS) - (BESIDE_THE_STARTER if extra == "starter" else set())
    assert set().union(*(COMPONENTS[name] for name in extras)) <= available(fresh)
