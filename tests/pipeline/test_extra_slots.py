"""Slots of kinds that plugins bring: where they come from, in which order they are applied, and what goes wrong."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import calumma
from calumma.cli.main import run
from calumma.errors import CalummaError, ComponentError, InputError, RegistryError
from calumma.extension import Catalog, hookimpl
from calumma.interfaces import Component, Finisher, Noise, Options
from calumma.registry import validate

from .tiny import SIDE, picture

PROMPT = "a red disc"
MORE = """\
components:
  frame:
    thick: {use: finishers/frame, width: 5}
pipelines:
  framed: {extends: default, note: finishers/note, frame: thick}
  twice: {extends: default, inner: {kind: frame, use: finishers/frame}, outer: {kind: frame, extends: thick, grey: 255}}
  noted-last: {extends: default, frame: thick, note: finishers/note, clock: finishers/clock}
"""


@pytest.fixture(scope="module")
def extended(registry: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny registry, with pipelines that have more slots."""
    folder = tmp_path_factory.mktemp("extended")
    (folder / "finishers.py").write_bytes(Path(__file__).with_name("finishers.py").read_bytes())
    head = f"calumma: 1\ninclude: ['{os.path.relpath(registry, folder)}']\nplugins: {{local: [./finishers.py]}}\n"
    (folder / "registry.yaml").write_text(head + MORE)
    return folder / "registry.yaml"


@pytest.fixture(scope="module")
def opened(extended: Path) -> Callable[..., calumma.Pipeline]:
    def load(pipeline: str, **more: Any) -> calumma.Pipeline:
        return calumma.load(extended, pipeline=pipeline, device="cpu", allow_local=True, **more)

    return load


def pixels(result: calumma.Result) -> list[np.ndarray]:
    return [np.asarray(image) for image in result.images]


def test_a_registry_with_slots_of_new_kinds_is_valid(extended: Path) -> None:
    assert validate(extended, allow_local=True) == []


def test_finishers_are_applied_in_the_order_of_the_slots(pipeline: calumma.Pipeline, opened: Callable[..., Any]) -> None:
    plain = pixels(pipeline.generate(PROMPT, n=2, seed=3))
    framed, noted = (pixels(opened(name).generate(PROMPT, n=2, seed=3)) for name in ("framed", "noted-last"))
    for sample in range(2):
        drawn = int(256 * Noise(3).uniform(sample, 0, 1, purpose=7)[0])
        facts = [[len(PROMPT), 3, sample], [drawn] * 3]
        assert framed[sample].shape == noted[sample].shape == (SIDE + 10, SIDE + 10, 3)
        assert framed[sample][5, 5:7].tolist() == facts
        assert noted[sample][0, :2].tolist() == facts
        assert np.array_equal(framed[sample][6:-5, 5:-5], plain[sample][1:])
        assert np.array_equal(noted[sample][5:-5, 5:-5], plain[sample])


def test_two_slots_may_be_of_one_kind(opened: Callable[..., Any]) -> None:
    pipeline = opened("twice")
    (drawn,) = pixels(pipeline.generate(PROMPT))
    assert drawn.shape == (SIDE + 14, SIDE + 14, 3)
    assert (drawn[0] == 255).all()
    assert (drawn[5, 5:-5] == 0).all()
    assert list(pipeline.extra) == list(pipeline.slots)[-2:] == ["inner", "outer"]


def test_what_is_drawn_does_not_depend_on_the_batch(opened: Callable[..., Any]) -> None:
    pipeline = opened("framed")
    together = pipeline.generate_many([PROMPT, "a blue cross"], n=3, seed=5, batch=4)
    for prompt, result in zip([PROMPT, "a blue cross"], together, strict=True):
        alone = pixels(pipeline.generate(prompt, n=2, seed=5))
        assert [one.tobytes() for one in pixels(result)[:2]] == [one.tobytes() for one in alone]


def test_an_infilling_is_finished_after_it_is_pasted(opened: Callable[..., Any], pipeline: calumma.Pipeline) -> None:
    given, box = picture(20, 30), (4, 4, 9, 9)
    (plain,) = pixels(pipeline.infill(given, box, PROMPT, seed=1))
    (framed,) = pixels(opened("default", swap={"frame": "finishers/frame"}).infill(given, box, PROMPT, seed=1))
    assert framed.shape == (24, 34, 3)
    assert np.array_equal(framed[2:-2, 2:-2], plain)


def test_a_caption_has_no_picture_to_finish(opened: Callable[..., Any], pipeline: calumma.Pipeline) -> None:
    given = picture(20, 30)
    assert opened("framed").caption(given, seed=2).texts == pipeline.caption(given, seed=2).texts


def test_it_is_warmed_up_once_recorded_and_shown(opened: Callable[..., Any]) -> None:
    pipeline = opened("noted-last")
    frame = pipeline.extra["frame"]
    assert frame.warmed == 0
    result = pipeline.generate(PROMPT)
    pipeline.generate(PROMPT)
    assert frame.warmed == 1
    assert result.record["components"]["frame"]["options"] == {"width": 5, "grey": 0}
    assert result.record["components"]["clock"]["id"] == "finishers/clock"
    assert result.record["registry"]["slots"]["frame"]["name"] == "thick"
    assert list(result.timings)[-2:] == ["finish", "total"]
    assert "frame            finishers/frame" in repr(pipeline)


def test_swap_and_set_reach_it_and_can_add_it(opened: Callable[..., Any]) -> None:
    set = opened("framed", set={"frame.width": 1}).generate(PROMPT)
    swapped = opened("framed", swap={"frame": "finishers/frame"}).generate(PROMPT)
    added = opened("default", swap={"frame": "thick"}, set={"frame.width": 3}).generate(PROMPT)
    assert [result.images[0].width - SIDE for result in (set, swapped, added)] == [2, 4, 6]
    with pytest.raises(RegistryError, match="Did you mean 'width'"):
        opened("framed", set={"frame.widht": 1})
    with pytest.raises(RegistryError, match="finishers/note is a component of kind 'note'"):
        opened("framed", swap={"frame": "finishers/note"})


def test_registry_show_explains_it(extended: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["registry", "show", "--registry", str(extended), "--pipeline", "framed", "--allow-local", "--json"]
    monkeypatch.setattr(sys, "argv", ["calumma", *words, "--set", "frame.grey=9"])
    with pytest.raises(SystemExit) as stopped:
        run()
    assert stopped.value.code == 0
    slots = json.loads(capsys.readouterr().out)["slots"]
    assert list(slots)[-2:] == ["note", "frame"]
    assert slots["frame"]["options"]["grey"] == {"value": 9, "origin": "--set frame.grey"}
    assert slots["frame"]["options"]["width"]["origin"].startswith(str(extended))


def test_a_plugin_that_is_left_out_takes_its_slot_with_it(extended: Path) -> None:
    with pytest.raises(CalummaError, match="--allow-local"):
        calumma.load(extended, pipeline="framed")
    bare = extended.with_name("bare.yaml")
    bare.write_text("calumma: 1\ninclude: [calumma:registry.yaml]\npipelines: {x: {extends: default, frame: thick}}\n")
    with pytest.raises(RegistryError, match="unknown slot 'frame'"):
        calumma.load(bare, pipeline="x")


# --- put together in Python ---


class Returns(Finisher):
    """Gives back whatever it was made with."""

    id = "tests/returns"

    def __init__(self, value: object) -> None:
        super().__init__(Options())
        self.value = value

    def finish(self, image: object, document: object, noise: object, sample: int) -> Any:
        return self.value(image) if callable(self.value) else self.value


def with_extra(pipeline: calumma.Pipeline, catalog: Catalog | None = None, **extra: Component) -> calumma.Pipeline:
    return calumma.Pipeline(**pipeline.slots, bank=pipeline.bank, extra=extra, device="cpu", catalog=catalog)


def test_without_extra_slots_nothing_changes(pipeline: calumma.Pipeline) -> None:
    plain = pipeline.generate(PROMPT, seed=4)
    other = with_extra(pipeline).generate(PROMPT, seed=4)
    assert plain.images[0].tobytes() == other.images[0].tobytes()
    assert list(plain.timings) == ["warm_up", "retrieve", "encode", "draw", "decode", "total"]
    assert pipeline.extra == {}
    assert list(plain.record["components"]) == list(pipeline.slots)


@pytest.mark.parametrize("slot", ["retriever", "sampler", "bank"])
def test_a_fixed_slot_cannot_be_had_twice(pipeline: calumma.Pipeline, slot: str) -> None:
    with pytest.raises(ComponentError, match=f"The slot '{slot}' is every pipeline's own"):
        with_extra(pipeline, **{slot: Returns(None)})


def test_only_components_go_into_slots(pipeline: calumma.Pipeline) -> None:
    with pytest.raises(ComponentError, match=r"The slot 'mark' holds 'lsb', which is no component"):
        with_extra(pipeline, mark="lsb")  # no component at all


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (np.zeros((4, 4, 3)), r"float64 \[4, 4, 3\]"),
        (np.zeros((4, 4), np.uint8), r"uint8 \[4, 4\]"),
        (np.zeros((4, 4, 4), np.uint8), r"uint8 \[4, 4, 4\]"),
        (np.zeros((0, 4, 3), np.uint8), "a picture of no pixels"),
        (None, "NoneType"),
    ],
)
def test_a_finisher_that_returns_no_picture_is_named(pipeline: calumma.Pipeline, wrong: object, said: str) -> None:
    with pytest.raises(ComponentError, match=f"tests/returns in the slot 'mark' returned {said}"):
        with_extra(pipeline, mark=Returns(wrong)).generate(PROMPT)


def test_a_finisher_that_raises_is_named_and_its_own_sentences_pass(pipeline: calumma.Pipeline) -> None:
    def stumble(image: np.ndarray) -> np.ndarray:
        raise ZeroDivisionError("nought")

    def refuse(image: np.ndarray) -> np.ndarray:
        raise InputError("The picture is too small for the message.")

    with pytest.raises(ComponentError, match="tests/returns in the slot 'mark' failed: ZeroDivisionError: nought") as caught:
        with_extra(pipeline, mark=Returns(stumble)).generate(PROMPT)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    with pytest.raises(InputError, match="too small for the message"):
        with_extra(pipeline, mark=Returns(refuse)).generate(PROMPT)


def test_observers_see_the_slot_and_the_finished_picture(pipeline: calumma.Pipeline) -> None:
    class Watching:
        def __init__(self) -> None:
            self.seen: list[Any] = []

        @hookimpl
        def calumma_pipeline_assembled(self, pipeline: Any) -> None:
            self.seen.append(list(pipeline.extra))

        @hookimpl
        def calumma_generation_finished(self, result: Any) -> None:
            self.seen.append(result.images[0].tobytes())

    watching, catalog = Watching(), Catalog()
    catalog.add("watching", watching)
    result = with_extra(pipeline, catalog, mark=Returns(lambda image: 255 - image)).generate(PROMPT, seed=4)
    assert watching.seen == [["mark"], result.images[0].tobytes()]
    assert result.images[0].tobytes() == (255 - np.asarray(pipeline.generate(PROMPT, seed=4).images[0])).tobytes()
