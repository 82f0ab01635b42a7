"""The examples as their users have them: built as wheels, installed, checked, and drawn with through their READMEs."""

from __future__ import annotations

import json
import tomllib
import zipfile
from email import message_from_string
from pathlib import Path
from typing import Any

import pytest
import yaml

from ..environments import Environment
from .distributions import COMPONENTS, EXAMPLES, NAMES, PROMPT, blocks

ONE = {"OMP_NUM_THREADS": "1"}
DRAWING = Path(__file__).with_name("drawing.py")


@pytest.mark.parametrize("name", NAMES)
def test_a_wheel_holds_the_package_and_says_what_it_is(name: str, wheels: dict[str, Path]) -> None:
    with zipfile.ZipFile(wheels[name]) as wheel:
        held = wheel.namelist()
        (metadata,) = (message_from_string(wheel.read(one).decode()) for one in held if one.endswith("/METADATA"))
        (points,) = (wheel.read(one).decode() for one in held if one.endswith("/entry_points.txt"))
    package = EXAMPLES / f"calumma-{name}" / "src" / f"calumma_{name}"
    assert {f"calumma_{name}/{path.name}" for path in package.iterdir() if path.is_file()} <= set(held)
    assert not [one for one in held if one.endswith(".safetensors") or "__pycache__" in one]
    assert metadata["Name"] == f"calumma-{name}"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert "calumma-plugin" in metadata["Keywords"]
    assert any(need.startswith("calumma") for need in metadata.get_all("Requires-Dist"))
    assert f"{name} = calumma_{name}" in points


def test_libraries_that_they_need_are_in_the_test_environment() -> None:
    project = tomllib.loads((EXAMPLES.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {"usearch", "vector-quantize-pytorch"} <= {one.partition(">")[0] for one in project["optional-dependencies"]["test"]}


def test_their_own_tests_pass(installed: Environment, tmp_path: Path) -> None:
    folders = [str(EXAMPLES / f"calumma-{name}" / "tests") for name in NAMES]
    words = ["pytest", "-q", "-c", "/dev/null", "--rootdir", str(EXAMPLES), "--import-mode=importlib", "-p", "no:cacheprovider"]
    said = installed.run([*words, *folders], tmp_path, ONE).stdout
    assert " passed" in said
    assert "skipped" not in said


def test_they_are_clean_to_ruff_and_mypy(installed: Environment, tmp_path: Path) -> None:
    for name in NAMES:
        folder = EXAMPLES / f"calumma-{name}"
        installed.run(["ruff", "check", "--no-cache", "."], folder)
        installed.run(["ruff", "format", "--no-cache", "--check", "."], folder)
        installed.run(["mypy", "--cache-dir", str(tmp_path / "types")], folder)


def test_they_are_listed_as_available(installed: Environment) -> None:
    rows = {row["id"]: row for row in json.loads(installed.run(["calumma", "plugins", "list", "--json"]).stdout)}
    for id, kind in COMPONENTS.items():
        plugin = id.partition("/")[0]
        found = [rows[id][fact] for fact in ("kind", "plugin", "distribution", "status")]
        assert found == [kind, plugin, f"calumma-{plugin}", "available"]


@pytest.mark.parametrize("name", NAMES)
def test_the_check_of_a_plugin_is_passed(name: str, installed: Environment) -> None:
    said = installed.run(["calumma", "plugins", "check", name], env=ONE).stdout
    assert "keeps its contract" in said
    assert "broken" not in said


# --- through a registry ---


@pytest.fixture(scope="module")
def drawn(installed: Environment, work: Path) -> dict[str, Any]:
    """What the registries of usearch and fsq draw; the tokenizer is one that two steps of the command trained."""
    pytest.importorskip("calumma_starter")
    words = ["python", "-m", "calumma_fsq.train", "pictures", "--out", "weights.safetensors", "--steps", "2"]
    assert "PSNR of the held-out pictures after 2 steps" in installed.run(words, work, ONE).stdout
    return json.loads(installed.run(["python", str(DRAWING), str(work), PROMPT], work, ONE).stdout)


def test_usearch_retrieves_and_draws_what_exact_search_does(drawn: dict[str, Any]) -> None:
    exact, usearch = drawn["exact"], drawn["usearch"]
    assert usearch["components"]["retriever"] == "usearch/index"
    assert exact["components"]["retriever"] == "exact/flat"
    assert len(usearch["retrieved"]) > 1
    assert usearch["retrieved"] == exact["retrieved"]
    assert usearch["pictures"] == exact["pictures"]


def test_fsq_draws_with_a_decoder_of_its_own_codes(drawn: dict[str, Any]) -> None:
    fsq = drawn["fsq"]
    assert fsq["components"]["image_tokenizer"] == "fsq/tokenizer"
    assert fsq["sizes"] == [[64, 64]] * 2
    ids = [one for rows in fsq["tokens"] for row in rows for one in row]
    assert len(ids) == 2 * 8 * 8
    assert 0 <= min(ids) <= max(ids) < 1000
    assert len(set(ids)) > 20
    assert fsq["pictures"][0] != fsq["pictures"][1]


def test_a_marked_picture_is_read_from_its_file_as_the_readme_says(installed: Environment, work: Path) -> None:
    pytest.importorskip("calumma_starter")
    words = ["calumma", "generate", PROMPT, "--registry", "watermark.yaml", "--pipeline", "marked", "--device", "cpu", "--json"]
    said = json.loads(installed.run(words, work, ONE).stdout)
    (record,) = (path for path in (work / "out").glob("*.json"))
    facts = json.loads(record.read_text(encoding="utf-8"))
    assert facts["components"]["watermark"]["id"] == "watermark/lsb"
    assert facts["components"]["watermark"]["options"] == {"message": "drawn by calumma"}
    assert facts["registry"]["slots"]["watermark"]["kind"] == "watermark"
    assert facts["versions"]["calumma-watermark"] == "0.1.0"
    (reading,) = blocks("watermark", "python")
    names = [Path(path).name for path in said["images"]]
    read = installed.run(["python", "-c", reading], work).stdout.splitlines()
    assert read == [f"{name} drawn by calumma" for name in names]


def test_the_registry_beside_the_watermark_is_that_of_its_readme(installed: Environment) -> None:
    (shown,) = blocks("watermark", "yaml")
    file = EXAMPLES / "calumma-watermark" / "watermark.yaml"
    assert yaml.safe_load(file.read_text(encoding="utf-8")) == yaml.safe_load(shown)
    words = ["calumma", "registry", "show", "--registry", str(file), "--pipeline", "marked", "--set", "watermark.message=mine"]
    slots = json.loads(installed.run([*words, "--json"]).stdout)["slots"]
    assert list(slots)[-1] == "watermark"
    assert slots["watermark"]["options"]["message"] == {"value": "mine", "origin": "--set watermark.message"}


def test_without_the_plugin_its_slot_is_unknown(work: Path, installed: Environment) -> None:
    done = installed.run(
        ["calumma", "registry", "validate", "watermark.yaml"], work, {"CALUMMA_BLOCK": "watermark"}, check=False
    )
    assert done.returncode == 2
    assert "watermark" in done.stderr


# --- the kind of the watermark is a kind like the core's ---


def test_the_scaffold_writes_a_watermark_that_passes_as_written(installed: Environment, tmp_path: Path) -> None:
    installed.run(["calumma", "plugins", "new", "my-mark", "--kind", "watermark", "--out", "new"], tmp_path)
    new = tmp_path / "new"
    installed.install(new)
    installed.run(["ruff", "check", "--no-cache", "."], new)
    installed.run(["ruff", "format", "--no-cache", "--check", "."], new)
    installed.run(["mypy", "--cache-dir", str(tmp_path / "types")], new)
    words = ["pytest", "-q", "-c", "/dev/null", "--rootdir", ".", "--import-mode=importlib", "-p", "no:cacheprovider", "tests"]
    assert " passed" in installed.run(words, new, ONE).stdout
    written = (new / "pyproject.toml").read_text(encoding="utf-8")
    assert "calumma-watermark>=0.1" in tomllib.loads(written)["project"]["dependencies"][1]
