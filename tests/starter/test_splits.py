"""What is held out is in no training row and cannot be retrieved: the shipped banks against each other."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "plugins/starter/recipe"))

from splits import words

lance = pytest.importorskip("lance")
ASSETS = Path(__file__).resolve().parents[2] / "plugins/starter/calumma_starter/assets"
Row = dict[str, str]


def _rows(name: str) -> list[Row]:
    table = lance.dataset(str(ASSETS / name)).to_table(columns=["id", "text", "metadata"])
    return [{**json.loads(row["metadata"]), "id": row["id"], "text": row["text"]} for row in table.to_pylist()]


@pytest.fixture(scope="module")
def memory() -> list[Row]:
    return _rows("memory")


@pytest.fixture(scope="module")
def held_out() -> list[Row]:
    return _rows("held-out")


def test_memory_holds_only_training_pictures(memory: list[Row], held_out: list[Row]) -> None:
    assert {row["split"] for row in memory} == {"train"}
    assert {row["split"] for row in held_out} == {"unseen", "new-style"}


def test_no_held_out_id_or_caption_is_in_memory(memory: list[Row], held_out: list[Row]) -> None:
    assert not {row["id"] for row in memory} & {row["id"] for row in held_out}
    assert not {row["text"] for row in memory} & {row["text"] for row in held_out}


def test_no_unseen_concept_is_in_memory_under_any_style(memory: list[Row], held_out: list[Row]) -> None:
    unseen = {words(row["concept"]) for row in held_out if row["split"] == "unseen"}
    assert not [row["text"] for row in memory if words(row["concept"]) in unseen]


def test_a_new_style_concept_is_in_memory_in_other_styles_only(memory: list[Row], held_out: list[Row]) -> None:
    pairs = {(row["concept"], row["style"]) for row in held_out if row["split"] == "new-style"}
    assert not pairs & {(row["concept"], row["style"]) for row in memory}
    seen = {row["concept"] for row in memory}
    assert all(concept in seen for concept, _ in pairs)


def test_every_row_names_its_licence(memory: list[Row], held_out: list[Row]) -> None:
    known = {"Apache-2.0", "CC-BY-4.0", "MIT", "CC-BY-SA-4.0", "public domain"}
    assert {row["licence"] for row in [*memory, *held_out]} == known


def test_what_ships_is_small() -> None:
    files = [file for file in ASSETS.rglob("*") if file.is_file() and "_indexes" not in file.parts]
    assert sum(file.stat().st_size for file in files) < 90e6
