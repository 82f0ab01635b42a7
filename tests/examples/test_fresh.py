"""The same wheels where nothing else is: a new environment in which the package registry supplies what they need."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..installs.test_extras import Fresh
from .distributions import COMPONENTS, EXAMPLES, NAMES, PROMPT, ROOT, blocks, write_pictures, write_registries

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fresh]:
    """One environment for all: it holds gigabytes, and is gone afterwards."""
    folder = tmp_path_factory.mktemp("examples-fresh")
    projects = [ROOT, ROOT / "plugins/starter", *(EXAMPLES / f"calumma-{name}" for name in NAMES)]
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", str(folder / "wheels"), *map(str, projects)], check=True, timeout=600)
    environment = Fresh(folder, folder / "wheels")
    wanted = ["calumma[starter]", *(f"calumma-{name}" for name in NAMES)]
    words = ["-m", "pip", "install", "--quiet", "--find-links", str(folder / "wheels"), *wanted]
    environment.python(*words, timeout=3000)
    write_registries(environment.work)
    write_pictures(environment.work / "pictures")
    yield environment
    shutil.rmtree(folder)


def test_what_they_need_comes_with_them(fresh: Fresh) -> None:
    status = {row["id"]: row["status"] for row in fresh.calumma("plugins", "list")}
    assert {id: status[id] for id in COMPONENTS} == dict.fromkeys(COMPONENTS, "available")


@pytest.mark.parametrize("name", NAMES)
def test_they_keep_their_contracts(name: str, fresh: Fresh) -> None:
    assert "keeps its contract" in fresh.python("-m", "calumma", "plugins", "check", name)


def test_they_draw_through_the_registries_of_their_readmes(fresh: Fresh) -> None:
    fresh.python("-m", "calumma_fsq.train", "pictures", "--out", "weights.safetensors", "--steps", "2")
    drawn = json.loads(fresh.python(str(Path(__file__).with_name("drawing.py")), str(fresh.work), PROMPT))
    assert drawn["usearch"]["retrieved"] == drawn["exact"]["retrieved"]
    assert drawn["usearch"]["pictures"] == drawn["exact"]["pictures"]
    assert len(set(drawn["fsq"]["pictures"])) == 2


def test_a_mark_is_read_from_the_file(fresh: Fresh) -> None:
    said = fresh.calumma("generate", PROMPT, "--registry", "watermark.yaml", "--pipeline", "marked", "--device", "cpu")
    (reading,) = blocks("watermark", "python")
    assert fresh.python("-c", reading).splitlines() == [f"{Path(path).name} drawn by calumma" for path in said["images"]]
