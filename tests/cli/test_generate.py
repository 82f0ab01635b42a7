"""calumma generate: with tiny parts in this process, and with the shipped starter as a user would call it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from .conftest import Calumma

PROMPT = "a red apple, noto style"


def digests(images: list[str]) -> list[str]:
    return [hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in images]


def test_it_prints_one_object_and_writes_what_it_names(calumma: Calumma, tiny: Path, here: Path) -> None:
    ran = calumma("generate", PROMPT, "-n", 2, "--seed", 1, "--registry", tiny, "--out", "new/folder", "--json")
    assert ran.code == 0, ran.err
    assert ran.out.count("\n") == 1
    assert list(ran.json) == ["images", "retrieved", "seconds", "record"]
    for path in ran.json["images"]:
        with PIL.Image.open(path) as image:
            assert (image.format, image.size) == ("PNG", (16, 16))
    assert [set(one) for one in ran.json["retrieved"]] == [{"id", "text", "score"}] * 2
    assert ran.json["seconds"] > 0
    record = json.loads((here / ran.json["record"]).read_text())
    assert (record["prompt"], record["n"], record["seed"]) == (PROMPT, 2, 1)
    assert record["registry"]["registry"] == str(tiny)
    sheets = list((here / "new/folder").glob("*sheet.png"))
    assert len(sheets) == 1
    assert len(list((here / "new/folder").iterdir())) == 4


def test_without_json_stdout_holds_the_paths_alone(calumma: Calumma, tiny: Path) -> None:
    ran = calumma("generate", PROMPT, "-n", 2, "--registry", tiny, "--out", "out")
    assert ran.code == 0
    assert [Path(line).is_file() for line in ran.out.splitlines()] == [True, True]
    assert ran.err.count("retrieved ") == 2
    assert "contact sheet: out/" in ran.err


def test_the_registry_beside_the_caller_is_used_and_out_is_the_default_folder(calumma: Calumma, tiny: Path, here: Path) -> None:
    (here / "registry.yaml").write_text(f"calumma: 1\ninclude: ['{os.path.relpath(tiny, here)}']\n")
    ran = calumma("generate", PROMPT, "--json")
    assert ran.code == 0, ran.err
    assert Path(ran.json["images"][0]).parent == Path("out")
    record = json.loads(Path(ran.json["record"]).read_text())
    assert record["registry"]["registry"] == "registry.yaml"


def test_swaps_and_sets_are_in_the_record_with_where_they_came_from(calumma: Calumma, tiny: Path) -> None:
    words = ("--swap", "retriever=none", "--set", "sampler.top_p=0.5", "--set", "sampler.top_k=7")
    ran = calumma("generate", PROMPT, "--registry", tiny, *words, "--json")
    slots = json.loads(Path(ran.json["record"]).read_text())["registry"]["slots"]
    assert slots["sampler"]["options"]["top_p"] == {"value": 0.5, "origin": "--set sampler.top_p"}
    assert slots["sampler"]["options"]["top_k"]["value"] == 7
    assert slots["retriever"]["use"] == "none/none"
    assert ran.json["retrieved"] == []


def test_a_pipeline_by_name_is_used(calumma: Calumma, tiny: Path) -> None:
    ran = calumma("generate", PROMPT, "--registry", tiny, "--pipeline", "no-retrieval", "--json")
    assert (ran.code, ran.json["retrieved"]) == (0, [])


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `calumma generate` of a fresh process with the shipped registry printed."""
    return command(tmp_path_factory.mktemp("first"), "-n", "2")


def command(folder: Path, *words: str) -> dict[str, Any]:
    called = [sys.executable, "-m", "calumma", "generate", PROMPT, "--seed", "1", "--device", "cpu", "--out", str(folder)]
    ran = subprocess.run([*called, *words, "--json"], capture_output=True, text=True, cwd=folder, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("\n") == 1
    return json.loads(ran.stdout)


def test_the_starter_draws_and_says_what_it_used(drawn: dict[str, Any]) -> None:
    assert len(drawn["images"]) == 2
    for path in drawn["images"]:
        with PIL.Image.open(path) as image:
            assert (image.format, image.size) == ("PNG", (64, 64))
    assert len(drawn["retrieved"]) >= 1
    record = json.loads(Path(drawn["record"]).read_text())
    for slot in ("image_tokenizer", "text_tokenizer", "embedder", "decoder"):
        (used,) = record["components"][slot]["assets"].values()
        assert used["sha256"] == hashlib.sha256(Path(used["path"]).read_bytes()).hexdigest()
    assert {"calumma", "calumma-starter", "torch", "hnswlib", "open_clip_torch"} <= set(record["versions"])
    assert record["registry"]["slots"]["retriever"]["name"] == "hnsw"
    assert record["timings"]["total"] > 0


def test_the_same_command_in_another_process_gives_the_same_bytes(drawn: dict[str, Any], tmp_path: Path) -> None:
    again = command(tmp_path, "-n", "2")
    assert digests(again["images"]) == digests(drawn["images"])
    assert again["retrieved"] == drawn["retrieved"]


def test_one_alone_is_the_first_and_the_engine_changes_nothing(calumma: Calumma, drawn: dict[str, Any]) -> None:
    for engine in ("hnsw", "exact", "faiss"):
        swap = ("--swap", f"retriever={engine}", "--seed", 1, "--device", "cpu", "--json")
        ran = calumma("generate", PROMPT, "-n", 1, "--out", engine, *swap)
        assert ran.code == 0, ran.err
        assert ran.json["retrieved"] == drawn["retrieved"]
        assert digests(ran.json["images"]) == digests(drawn["images"])[:1]


def test_retrieving_nothing_draws_another_picture(calumma: Calumma, drawn: dict[str, Any]) -> None:
    ran = calumma("generate", PROMPT, "--swap", "retriever=none", "--seed", 1, "--device", "cpu", "--json")
    assert ran.json["retrieved"] == []
    assert digests(ran.json["images"]) != digests(drawn["images"])[:1]
