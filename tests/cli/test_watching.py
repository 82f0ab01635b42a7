"""Long work shows itself, and stops well: the bar, the preview, Ctrl-C, the best of n."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from calumma.cli.drawing import said
from calumma.pipeline import Update

from ..pipeline.tiny import picture
from .conftest import Calumma

PROMPT = "a red disc"
LISTENING = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a process in the background would not hear it
from calumma.cli.main import run
run()
"""


def seen(monkeypatch: pytest.MonkeyPatch) -> list[PIL.Image.Image]:
    """Every preview that is written, as it was when the next one replaced it or it was taken away."""
    from calumma.pipeline.result import Saver

    found: list[PIL.Image.Image] = []
    write = Saver.preview

    def noted(self: Saver, sheet: PIL.Image.Image) -> None:
        write(self, sheet)
        with PIL.Image.open(self._folder / "preview.png") as file:
            found.append(file.copy())

    monkeypatch.setattr(Saver, "preview", noted)
    return found


def test_the_bar_says_rows_pictures_and_speed() -> None:
    update = Update(None, finished=32, n=64, share=0.6, tokens=5000, row=5, rows=8)
    assert said(update, 811.6, "pictures") == "row 5 of 8, 32 of 64 pictures, 812 tokens/s"
    assert said(Update(None, finished=0, n=2, share=0.1, tokens=9), 0.0, "texts") == "0 of 2 texts"


CALLS = {
    "generate": ("generate", PROMPT),
    "caption": ("caption", "given.png"),
    "infill": ("infill", "given.png", "--box", "0,0,9,9", "--prompt", PROMPT),
}


@pytest.mark.parametrize("words", CALLS.values(), ids=CALLS)
def test_the_bar_is_on_the_terminal_alone(
    words: tuple[str, ...], calumma: Calumma, tiny: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    PIL.Image.fromarray(picture(20, 20)).save(here / "given.png")
    call = (*words, "--registry", tiny)
    assert "1 of 1" not in calumma(*call).err
    monkeypatch.setenv("FORCE_COLOR", "1")  # what rich takes for a terminal
    on_terminal = calumma(*call)
    assert "1 of 1" in on_terminal.err
    assert ("of 4" in on_terminal.err) == (words[0] == "generate")
    assert "1 of 1" not in on_terminal.out
    assert "1 of 1" not in calumma(*call, "--json").err


def test_the_preview_is_one_sheet_of_all_that_is_drawn_and_goes_at_the_end(
    calumma: Calumma, tiny: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sheets = seen(monkeypatch)
    plain = calumma("generate", PROMPT, "-n", 3, "--registry", tiny, "--out", "plain", "--json")
    assert sheets == []
    ran = calumma("generate", PROMPT, "-n", 3, "--registry", tiny, "--out", "out", "--preview", "--json")
    assert len(sheets) == 4
    assert all(sheet.width > 3 * 128 for sheet in sheets)
    greys = [int((abs(np.asarray(sheet, np.int64) - 128) < 8).all(2).sum()) for sheet in sheets]  # scaled up, so nearly grey
    assert greys == sorted(greys, reverse=True)
    assert greys[0] > 3 * 0.7 * 128 * 128
    names = {path.name for path in (here / "plain").iterdir()}
    assert {path.name for path in (here / "out").iterdir()} == names
    for one, other in zip(plain.json["images"], ran.json["images"], strict=True):
        assert Path(one).read_bytes() == Path(other).read_bytes()


def test_an_infilling_has_a_preview_too(calumma: Calumma, tiny: Path, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sheets = seen(monkeypatch)
    PIL.Image.fromarray(picture(64, 64)).save(here / "given.png")
    words = ("--box", "0,0,64,40", "--prompt", PROMPT, "--registry", tiny, "--preview", "--json")
    assert calumma("infill", "given.png", *words).code == 0
    assert len(sheets) == 3
    assert not list(here.rglob("preview.png"))


def test_the_best_of_n_is_kept_and_the_record_has_all_scores(calumma: Calumma, tiny: Path) -> None:
    ran = calumma("generate", PROMPT, "-n", 2, "--best-of", 3, "--registry", tiny, "--out", "best", "--json")
    assert ran.code == 0, ran.err
    assert list(ran.json) == ["images", "samples", "scores", "retrieved", "seconds", "record"]
    record = json.loads(Path(ran.json["record"]).read_text())
    assert [one["kept"] for one in record["best_of"]] == ran.json["samples"]
    assert [max(one["scores"]) for one in record["best_of"]] == ran.json["scores"]
    again = calumma("generate", PROMPT, "--first", ran.json["samples"][1], "--registry", tiny, "--out", "again", "--json")
    assert Path(again.json["images"][0]).read_bytes() == Path(ran.json["images"][1]).read_bytes()
    for_people = calumma("generate", PROMPT, "--best-of", 2, "--registry", tiny)
    assert "kept sample " in for_people.err


def interrupted_after(monkeypatch: pytest.MonkeyPatch, pictures: int) -> None:
    """Ctrl-C, just after so many pictures were written."""
    from calumma.pipeline.result import Saver

    write, left = Saver.picture, iter(range(pictures - 1))

    def stopping(self: Saver, sample: int, image: PIL.Image.Image) -> Path:
        new = sample not in self._written
        path = write(self, sample, image)
        if new and next(left, None) is None:
            monkeypatch.setattr(Saver, "picture", write)
            raise KeyboardInterrupt
        return path

    monkeypatch.setattr(Saver, "picture", stopping)


def test_the_json_of_an_interrupted_run_says_what_is_kept(
    calumma: Calumma, tiny: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted_after(monkeypatch, 1)
    ran = calumma("generate", PROMPT, "-n", 35, "--registry", tiny, "--preview", "--json")
    assert ran.code == 130
    assert ran.json["interrupted"] == {"finished": 32, "of": 35}
    assert len(ran.json["images"]) == 32
    assert "`--first 32 -n 3` draws the rest" in ran.err
    assert ran.err.count("\n") == 1
    assert len(list((here / "out").iterdir())) == 34  # no preview, nothing half-written


def test_an_interruption_after_the_last_picture_loses_nothing(
    calumma: Calumma, tiny: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted_after(monkeypatch, 2)
    ran = calumma("generate", PROMPT, "-n", 2, "--registry", tiny)
    assert (ran.code, len(ran.out.splitlines())) == (130, 2)
    assert ran.err.endswith("calumma: Interrupted: 2 of 2 pictures are finished and lie in out.\n")
    assert len(list((here / "out").iterdir())) == 4


def test_an_error_in_a_later_batch_leaves_what_was_finished(
    calumma: Calumma, tiny: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from calumma_plugins.sampling.nucleus import NucleusSampler

    fill, calls = NucleusSampler.fill, []

    def failing(self: NucleusSampler, *args: object) -> Iterator[object]:
        calls.append(1)
        if len(calls) == 2:
            raise MemoryError
        yield from fill(self, *args)

    monkeypatch.setattr(NucleusSampler, "fill", failing)
    ran = calumma("generate", PROMPT, "-n", 33, "--registry", tiny, "--json")
    assert ran.code == 1
    assert "MemoryError" in ran.json["error"]["message"]
    assert len(list((here / "out").glob("*-s0-*[0-9].png"))) == 32
    assert json.loads((here / "out/a-red-disc-s0.json").read_text())["interrupted"] == {"finished": 32, "of": 33}


def test_ctrl_c_between_batches_keeps_what_is_finished(tmp_path: Path) -> None:
    pytest.importorskip("calumma_starter")
    prompt = "a red apple, noto style"
    called = [sys.executable, "-c", LISTENING, "generate", prompt, "-n", "64", "--device", "cpu", "--out", "out"]
    running = subprocess.Popen(called, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        last = tmp_path / "out/a-red-apple-noto-style-s0-31.png"
        until = time.monotonic() + 240
        while not last.exists() and time.monotonic() < until and running.poll() is None:
            time.sleep(0.02)
        os.kill(running.pid, signal.SIGINT)
        out, err = running.communicate(timeout=120)
    finally:
        running.kill()
    assert running.returncode == 130, err
    assert err.splitlines()[-1] == (
        "calumma: Interrupted: 32 of 64 pictures are finished and lie in out; "
        "the same command with `--first 32 -n 32` draws the rest."
    )
    assert "Traceback" not in err
    images = sorted(path.name for path in (tmp_path / "out").iterdir())
    stem = "a-red-apple-noto-style-s0"
    assert images == sorted([f"{stem}.json", f"{stem}-sheet.png", *(f"{stem}-{i}.png" for i in range(32))])
    assert len(out.splitlines()) == 32
    for path in (tmp_path / "out").glob("*.png"):
        with PIL.Image.open(path) as image:
            image.load()
    assert json.loads((tmp_path / f"out/{stem}.json").read_text())["interrupted"] == {"finished": 32, "of": 64}


def test_ctrl_c_before_the_first_picture_says_so(
    calumma: Calumma, tiny: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("calumma_plugins.sampling.nucleus.NucleusSampler.fill", interrupted)
    ran = calumma("generate", PROMPT, "--registry", tiny, "--preview")
    assert (ran.code, ran.out) == (130, "")
    assert ran.err == "calumma: Interrupted before the first picture was finished; nothing is written.\n"
    assert list(here.iterdir()) == []


def test_ctrl_c_in_a_command_that_draws_nothing_says_so(
    calumma: Calumma, tiny: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **more: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("calumma.registry.validate", interrupted)
    ran = calumma("registry", "validate", tiny)
    assert (ran.code, ran.out, ran.err) == (130, "", "calumma: Interrupted.\n")
