"""calumma bank tune: what it writes can be looked at, read and used as it is; what it cannot do it says before it begins."""

from __future__ import annotations

import csv
import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import yaml
from typer.testing import CliRunner, Result

from calumma.bank import Bank
from calumma.bank.tuning.plotting import COLOURS
from calumma.cli.bank import app, tuning
from calumma.cli.bank.arguments import retriever_of
from calumma.errors import CalummaError, ComponentError
from calumma.registry import validate

from .tuning_samples import clustered_bank, short_rounds, stubborn


@pytest.fixture(scope="module", autouse=True)
def _short_rounds() -> Iterator[None]:
    with short_rounds():
        yield


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    return clustered_bank(tmp_path_factory.mktemp("clustered") / "clustered.bank", documents=400)


@pytest.fixture(scope="module")
def tuned(bank: Bank, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The folder that was written, and the answer as JSON."""
    out = tmp_path_factory.mktemp("tuned")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CALUMMA_CACHE", str(tmp_path_factory.mktemp("cache")))
        engines = ["--retriever", "hnswlib/hnsw", "--retriever", "exact", "--queries", 50, "--recall", 0.9]
        yield out, json.loads(finished(bank, out, *engines, "--json").stdout)


def called(bank: Bank, out: Path, *words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in ("tune", bank.path, "--out", out, *words)])


def finished(bank: Bank, out: Path, *words: object) -> Result:
    """An error is raised as it is, for the main command to print."""
    result = called(bank, out, *words)
    if result.exception is not None:
        raise result.exception
    return result


def test_the_answer_has_the_choice_the_rows_and_where_the_files_are(tuned: tuple[Path, dict[str, Any]]) -> None:
    out, answer = tuned
    assert {"chosen", "rows", "plot", "registry"} <= answer.keys()
    assert answer["chosen"] in answer["rows"]
    assert answer["chosen"]["recall"] >= 0.9
    assert {one["retriever"] for one in answer["rows"]} == {"hnswlib/hnsw", "exact/flat"}
    assert (Path(answer["plot"]), Path(answer["registry"])) == (out / "pareto.png", out / "registry.yaml")


def test_the_plot_is_a_picture_with_a_colour_for_each_retriever(tuned: tuple[Path, dict[str, Any]]) -> None:
    with PIL.Image.open(tuned[0] / "pareto.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3).astype(int)
    assert len(pixels) > 500_000
    for colour in COLOURS[:2]:
        drawn = 0.75 * np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) + 0.25 * 255
        assert (abs(pixels - drawn).max(axis=1) <= 2).sum() > 20, colour


def test_the_tables_have_every_row(tuned: tuple[Path, dict[str, Any]]) -> None:
    out, answer = tuned
    rows = list(csv.DictReader((out / "table.csv").read_text().splitlines()))
    assert [json.loads(one["options"]) for one in rows] == [one["options"] for one in answer["rows"]]
    assert [float(one["recall"]) for one in rows] == [one["recall"] for one in answer["rows"]]
    table = [line for line in (out / "table.md").read_text().splitlines() if line.startswith("|")]
    assert len(table) == len(rows) + 2
    assert sum(line.startswith("| > |") for line in table) == 1


def test_everything_is_in_one_json_file(bank: Bank, tuned: tuple[Path, dict[str, Any]]) -> None:
    told = json.loads((tuned[0] / "tune.json").read_text())
    assert told["bank"]["version"] == bank.version
    assert told["bank"]["identity"] == bank.info.identity
    assert {"calumma", "numpy", "hnswlib"} <= told["versions"].keys()
    assert told["machine"]["cores"] >= 1
    assert (told["k"], told["queries"], told["by"], told["seed"], told["wanted"]) == (10, 50, "document", 0, 0.9)


def test_the_registry_is_valid_and_has_the_choice(tuned: tuple[Path, dict[str, Any]], bank: Bank, tmp_path: Path) -> None:
    out, answer = tuned
    assert validate(out / "registry.yaml") == []
    engine = retriever_of("tuned", out / "registry.yaml")
    assert engine.id == answer["chosen"]["retriever"]
    given = engine.options.model_dump()
    assert {name: given[name] for name in answer["chosen"]["options"]} == answer["chosen"]["options"]
    np.save(tmp_path / "vector.npy", bank.vectors(bank.keys[:1], "text")[0])
    words = ["search", bank.path, "--vector", tmp_path / "vector.npy", "--retriever", "tuned"]
    found = CliRunner().invoke(app, [str(word) for word in (*words, "--registry", out / "registry.yaml", "--json")])
    assert json.loads(found.stdout)["hits"][0]["id"] == bank.ids([int(bank.keys[0])])[0]


def test_a_person_reads_the_table_and_the_block_to_paste(bank: Bank, tuned: tuple[Path, dict[str, Any]]) -> None:
    out, answer = tuned
    printed = finished(bank, out, "--retriever", "hnswlib/hnsw", "--retriever", "exact", "--queries", 50).stdout
    assert printed.splitlines()[0].split()[:3] == ["retriever", "options", "recall@10"]
    block = printed[printed.index("components:") : printed.index(f"\n{out}")]
    assert yaml.safe_load(block) == {
        "components": {"retriever": {"tuned": {"use": answer["chosen"]["retriever"], **answer["chosen"]["options"]}}}
    }


def test_where_nothing_reaches_the_recall_the_exit_code_is_1_and_the_best_is_named(
    bank: Bank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "registry.yaml").write_text("of an earlier run")
    monkeypatch.setattr(tuning, "retriever_of", lambda name, registry: stubborn())
    words = (bank, tmp_path, "--retriever", "stubborn", "--queries", 20, "--recall", 0.9)
    result = called(*words)
    assert result.exit_code == 1
    assert "No configuration reaches a recall@10 of 0.9; the best is tests/stubborn: 0.800" in result.stdout
    assert "components:" not in result.stdout
    assert not (tmp_path / "registry.yaml").exists()
    result = called(*words, "--json")
    assert result.exit_code == 1
    answer = json.loads(result.stdout)
    assert (answer["chosen"], answer["registry"]) == (None, None)
    assert "No configuration reaches" in result.stderr
    assert (tmp_path / "pareto.png").exists()


def test_without_matplotlib_nothing_is_measured(bank: Bank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "matplotlib" else find(name, *more))
    with pytest.raises(ComponentError, match=r"needs matplotlib, which is not installed. Run: pip install 'calumma\[plots\]'"):
        finished(bank, tmp_path / "out", "--retriever", "exact")
    assert not (tmp_path / "out").exists()


def test_by_default_every_vector_retriever_of_this_machine_is_tried(bank: Bank, tmp_path: Path) -> None:
    answer = json.loads(finished(bank, tmp_path, "--queries", 5, "--k", 1, "--recall", 0.5, "--json").stdout)
    tried = {one["retriever"] for one in answer["rows"]}
    assert {"exact/flat", "hnswlib/hnsw", "faiss/index", "lance/ivf"} <= tried
    assert not {"bm25/text", "fusion/rrf", "none/none", "milvus/collection"} & tried


def test_wrong_words_are_refused_before_anything_is_measured(bank: Bank, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for out, words, error in [
        ("out", ("--by", "smell"), r"no vector by 'smell'. Give --by one of document, text, image"),
        ("out", ("--retriever", "nobody"), "nobody"),
        ("out", ("--retriever", "bm25/text"), "does not search by vectors alone"),
        ("file/out", ("--retriever", "exact"), "Cannot write to"),
    ]:
        with pytest.raises(CalummaError, match=error):
            finished(bank, tmp_path / out, *words)
    assert not (tmp_path / "out").exists()
