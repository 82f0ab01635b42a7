"""calumma caption and calumma infill: pictures of the user's own sizes, in and out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from calumma.documents.printing import printable

from ..pipeline.tiny import picture
from .conftest import Calumma

PROMPT = "a red disc"


@pytest.fixture(params=[(64, 64), (60, 100), (90, 20)], ids=lambda size: f"{size[1]}x{size[0]}")
def given(request: pytest.FixtureRequest, here: Path) -> np.ndarray:
    pixels = picture(*request.param)
    PIL.Image.fromarray(pixels).save(here / "given.png")
    return pixels


def test_a_caption_is_printed_as_one_object(calumma: Calumma, tiny: Path, given: np.ndarray, here: Path) -> None:
    ran = calumma("caption", "given.png", "-n", 2, "--registry", tiny, "--json")
    assert ran.code == 0, ran.err
    assert list(ran.json) == ["texts", "retrieved", "seconds"]
    assert [type(text) for text in ran.json["texts"]] == [str, str]
    assert calumma("caption", "given.png", "--registry", tiny, "--json").json["texts"] == ran.json["texts"][:1]
    assert [path.name for path in here.iterdir()] == ["given.png"]


def test_a_caption_for_people_is_the_text_alone(calumma: Calumma, tiny: Path, given: np.ndarray) -> None:
    (text,) = calumma("caption", "given.png", "--registry", tiny, "--json").json["texts"]
    assert calumma("caption", "given.png", "--registry", tiny).out == printable(text) + "\n"


def test_infilling_leaves_every_pixel_outside_the_box(calumma: Calumma, tiny: Path, given: np.ndarray, here: Path) -> None:
    words = ("--box", "5,6,15,40", "--prompt", PROMPT, "--registry", tiny, "--seed", 1, "-n", 2, "--out", "out", "--json")
    ran = calumma("infill", "given.png", *words)
    assert ran.code == 0, ran.err
    assert list(ran.json) == ["images", "retrieved", "seconds", "record"]
    inside = np.zeros(given.shape[:2], bool)
    inside[6:40, 5:15] = True
    changed = []
    for path in ran.json["images"]:
        drawn = np.asarray(PIL.Image.open(path))
        assert np.array_equal(drawn[~inside], given[~inside])
        changed.append(not np.array_equal(drawn, given))
    assert all(changed)
    assert len(list((here / "out").glob("*sheet.png"))) == 1
    assert json.loads(Path(ran.json["record"]).read_text())["task"] == "infill"


def test_without_paste_the_tokenizers_picture_is_written(calumma: Calumma, tiny: Path, given: np.ndarray) -> None:
    words = ("--box", "5,6,15,40", "--prompt", PROMPT, "--registry", tiny, "--seed", 1, "--no-paste", "--json")
    ran = calumma("infill", "given.png", *words)
    assert PIL.Image.open(ran.json["images"][0]).size == (16, 16)


def test_a_picture_with_transparency_or_turned_by_exif_is_read_as_it_is_seen(calumma: Calumma, tiny: Path, here: Path) -> None:
    turned = PIL.Image.fromarray(picture(20, 40))
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save("turned.png", exif=exif)
    PIL.Image.new("LA", (30, 20), (0, 0)).save("clear.png")
    for name, size in (("turned.png", (20, 40)), ("clear.png", (30, 20))):
        words = ("--box", "0,0,5,5", "--prompt", PROMPT, "--registry", tiny, "--out", name + ".out", "--json")
        drawn = PIL.Image.open(calumma("infill", name, *words).json["images"][0])
        assert drawn.size == size
        if name == "clear.png":
            assert (np.asarray(drawn)[5:] == 255).all()


def test_the_starter_captions_and_infills(calumma: Calumma, here: Path) -> None:
    pytest.importorskip("calumma_starter")
    pixels = picture(60, 100)
    PIL.Image.fromarray(pixels).save("given.png")
    ran = calumma("caption", "given.png", "--device", "cpu", "--json")
    assert ran.code == 0, ran.err
    assert len(ran.json["texts"]) == 1
    words = ("--box", "20,10,60,50", "--prompt", "a red apple, noto style", "--device", "cpu", "--json")
    ran = calumma("infill", "given.png", *words)
    assert ran.code == 0, ran.err
    drawn = np.asarray(PIL.Image.open(ran.json["images"][0])).copy()
    drawn[10:50, 20:60] = pixels[10:50, 20:60]
    assert np.array_equal(drawn, pixels)
