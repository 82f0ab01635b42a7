"""A result writes itself down: pictures, a contact sheet, and a record that says how to do it again."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from calumma import Pipeline, Result, __version__
from calumma.errors import InputError
from calumma.pipeline.result import slug
from calumma.pipeline.sheet import contact_sheet

from .tiny import picture


@pytest.fixture(scope="module")
def result(pipeline: Pipeline) -> Result:
    return pipeline.generate("a red disc", n=2, seed=4)


def test_it_saves_into_a_folder_that_is_not_there_yet(result: Result, tmp_path: Path) -> None:
    saved = result.save(tmp_path / "new" / "folder")
    for path, image in zip(saved.images, result.images, strict=True):
        with PIL.Image.open(path) as stored:
            assert stored.format == "PNG"
            assert np.array_equal(np.asarray(stored), np.asarray(image))
    assert saved.sheet is not None
    assert PIL.Image.open(saved.sheet).width > 4 * 128
    written = {path.name for path in (tmp_path / "new" / "folder").iterdir()}
    assert written == {*(path.name for path in saved.images), saved.sheet.name, "a-red-disc-s4.json"}


def test_saving_twice_gives_the_same_bytes(result: Result, tmp_path: Path) -> None:
    one, other = result.save(tmp_path / "one"), result.save(tmp_path / "other")
    for name in [*(path.name for path in one.images), one.sheet.name, one.record.name]:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()
    assert one.record != other.record


def test_the_record_says_how_to_do_it_again(result: Result, registry: Path, tmp_path: Path) -> None:
    saved = result.save(tmp_path)
    record = json.loads(saved.record.read_text())
    assert (record["task"], record["prompt"], record["n"], record["seed"]) == ("generate", "a red disc", 2, 4)
    assert record["versions"]["calumma"] == __version__
    assert {"python", "torch", "numpy"} <= set(record["versions"])
    assert record["registry"]["pipeline"] == "default"
    assert record["registry"]["slots"]["sampler"]["options"]["top_p"] == {"value": 0.9, "origin": "default"}
    weights = record["components"]["decoder"]["assets"]["weights"]
    assert weights["sha256"] == hashlib.sha256((registry.parent / "decoder.safetensors").read_bytes()).hexdigest()
    assert record["components"]["decoder"]["fingerprint"].startswith("cm3leon/decoder#")
    assert record["bank"]["documents"] == 12
    assert [one["id"] for one in record["retrieved"]] == [one.document.id for one in result.retrieved]
    assert record["images"] == [path.name for path in saved.images]


def test_timings_are_seconds_of_each_stage_and_their_sum_at_most_the_total(result: Result) -> None:
    stages = {name: seconds for name, seconds in result.timings.items() if name != "total"}
    assert set(stages) == {"warm_up", "retrieve", "encode", "draw", "decode"}
    assert min(stages.values()) >= 0
    assert sum(stages.values()) <= result.timings["total"]


def test_a_place_that_cannot_be_written_is_refused(result: Result, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="Cannot write to"):
        result.save(tmp_path / "file" / "under")


@pytest.mark.parametrize("nth", [0, 1, 3])
def test_a_disk_that_fills_up_leaves_only_whole_files(
    result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nth: int
) -> None:
    whole, real = result.save(tmp_path / "whole"), os.replace
    moved: list[Path] = []

    def full(source: Path, target: Path) -> None:
        if len(moved) == nth:
            raise OSError(errno.ENOSPC, "No space left on device")
        moved.append(target)
        real(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(InputError, match="No space left"):
        result.save(tmp_path / "full")
    left = sorted((tmp_path / "full").iterdir())
    assert left == sorted(moved)
    assert all(path.read_bytes() == (whole.record.parent / path.name).read_bytes() for path in left)
    assert not (tmp_path / "full" / whole.record.name).exists()


def test_a_caption_saves_a_record_and_no_picture(pipeline: Pipeline, tmp_path: Path) -> None:
    saved = pipeline.caption(picture(20, 20), seed=1).save(tmp_path)
    assert (saved.images, saved.sheet) == ([], None)
    assert json.loads(saved.record.read_text())["task"] == "caption"


def test_a_prompt_is_never_a_path(pipeline: Pipeline, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    saved = pipeline.generate("../../../etc/a b\\c \x00 \u2603 " + "disc " * 20).save(folder)
    assert all(path.parent == folder for path in saved.images)
    assert all(len(path.name) < 100 for path in saved.images)
    assert sorted(tmp_path.iterdir()) == [folder]


def test_a_sheet_of_several_results_has_a_row_each(result: Result, pipeline: Pipeline) -> None:
    bare = pipeline.generate_many(["a blue cross"], retrieved=[[]])[0]
    one, two = contact_sheet([result]), contact_sheet([result, bare], "Two")
    assert two.height > one.height * 1.5
    assert two.width == one.width
    assert contact_sheet([bare]).width < one.width


def test_runs_share_a_folder_and_each_keeps_its_own_record(pipeline: Pipeline, tmp_path: Path) -> None:
    drawn = [
        pipeline.generate("a red disc", seed=1),
        pipeline.generate("a red disc", seed=2),
        pipeline.generate("a blue cross"),
    ]
    drawn.append(pipeline.infill(drawn[0].images[0], (0, 0, 8, 8), "a red disc", seed=1))
    drawn.append(pipeline.caption(drawn[0].images[0], seed=1))
    saved = [one.save(tmp_path) for one in drawn]
    written = [path for one in saved for path in (*one.images, one.sheet, one.record) if path is not None]
    assert len(set(written)) == len(written) == len(list(tmp_path.iterdir()))
    for one, result in zip(saved, drawn, strict=True):
        record = json.loads(one.record.read_text())
        assert (record["task"], record["prompt"], record["seed"]) == (result.task, result.prompt, result.seed)
        assert record["images"] == [path.name for path in one.images]


def test_long_prompts_that_begin_alike_have_names_of_their_own() -> None:
    one, other = slug("a red disc " * 20 + "on green"), slug("a red disc " * 20 + "on blue")
    assert one != other
    assert max(len(one), len(other)) <= 60
    assert slug("A red, RED disc!") == "a-red-red-disc"
