"""Observers are told what happens, in order; one that raises is reported once and dropped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import calumma
from calumma.extension import Catalog, hookimpl

from .tiny import picture


class Watching:
    def __init__(self) -> None:
        self.seen: list[str] = []
        self.facts: list[object] = []

    @hookimpl
    def calumma_pipeline_assembled(self, pipeline: object) -> None:
        self.seen.append("assembled")
        self.facts.append(pipeline)

    @hookimpl
    def calumma_documents_retrieved(self, document: object, retrieved: list) -> None:
        self.seen.append("retrieved")
        self.facts.append([one.document.id for one in retrieved])

    @hookimpl
    def calumma_generation_started(self, task: str, document: object, n: int) -> None:
        self.seen.append(f"started {task} {n}")

    @hookimpl
    def calumma_generation_finished(self, task: str, result: object) -> None:
        self.seen.append(f"finished {task}")
        self.facts.append(result)


class Failing:
    calls = 0

    @hookimpl
    def calumma_generation_started(self, task: str) -> None:
        self.calls += 1
        raise SystemExit("no more")


def assembled(registry: Path, *plugins: object) -> calumma.Pipeline:
    """The tiny pipeline put together in Python, with these plugin objects watching."""
    catalog = Catalog()
    for number, plugin in enumerate(plugins):
        catalog.add(f"watcher{number}", plugin)
    parts = calumma.load(registry, device="cpu")
    return calumma.Pipeline(**parts.slots, bank=parts.bank, device="cpu", catalog=catalog)


def test_they_are_called_in_order_with_the_facts(registry: Path) -> None:
    watching = Watching()
    pipeline = assembled(registry, watching)
    result = pipeline.generate("a red disc", n=2)
    assert watching.seen == ["assembled", "retrieved", "started generate 2", "finished generate"]
    assert watching.facts == [pipeline, [one.document.id for one in result.retrieved], result]


def test_what_they_see_of_an_infilling_is_what_is_returned(registry: Path) -> None:
    watching = Watching()
    result = assembled(registry, watching).infill(picture(20, 30), (4, 4, 9, 9), "a red disc")
    assert watching.seen[-1] == "finished infill"
    assert np.array_equal(np.asarray(watching.facts[-1].images[0]), np.asarray(result.images[0]))


def test_one_that_raises_is_reported_once_and_dropped(registry: Path, capsys: pytest.CaptureFixture[str]) -> None:
    failing, watching = Failing(), Watching()
    pipeline = assembled(registry, failing, watching)
    first, second = pipeline.generate("a red disc"), pipeline.generate("a red disc")
    assert failing.calls == 1
    assert np.array_equal(first.tokens[0], second.tokens[0])
    assert watching.seen[1:] == ["retrieved", "started generate 1", "finished generate"] * 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "'watcher0' failed in calumma_generation_started and is dropped: SystemExit: no more" in err
