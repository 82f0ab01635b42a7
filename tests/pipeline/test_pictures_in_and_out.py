"""Captions and infilling: pictures of any size, boxes in their own pixels, what must stay untouched."""

from __future__ import annotations

from fractions import Fraction
from math import ceil
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calumma import Pipeline
from calumma.errors import InputError
from calumma.pipeline.images import Frame, cells_of, encode_picture

from .tiny import CELL, SIDE, picture

SIZES = [(SIDE, SIDE), (64, 64), (60, 100), (100, 30), (5, 7), (3, 200)]
PROMPT = "a red disc"


def middle(height: int, width: int) -> tuple[int, int, int, int]:
    return width // 4, height // 4, max(width // 4 + 1, width // 2), max(height // 4 + 1, height // 2)


def outside(pixels: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
    x0, y0, x1, y1 = box
    mask = np.ones(pixels.shape[:2], bool)
    mask[y0:y1, x0:x1] = False
    return pixels[mask]


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_pixels_outside_the_box_and_ids_of_untouched_cells_stay(pipeline: Pipeline, height: int, width: int) -> None:
    pixels, box = picture(height, width), middle(height, width)
    result = pipeline.infill(pixels, box, PROMPT, n=3, seed=1)
    before = encode_picture(pipeline.image_tokenizer, pixels)
    cells = touched(box, height, width)
    assert cells.any()
    for image, ids in zip(result.images, result.tokens, strict=True):
        drawn = np.asarray(image)
        assert drawn.shape == pixels.shape
        assert np.array_equal(outside(drawn, box), outside(pixels, box))
        assert np.array_equal(ids[~cells], before[~cells])
    assert any(not np.array_equal(ids, before) for ids in result.tokens)
    assert any(not np.array_equal(np.asarray(image), pixels) for image in result.images)
    assert np.array_equal(np.asarray(result.source), pixels)


def touched(box: tuple[int, int, int, int], height: int, width: int) -> np.ndarray:
    """bool [4, 4]: cells whose area meets the box's, in exact fractions."""
    top, left, inner_height, inner_width = Frame((height, width), (SIDE, SIDE)).inner
    x0, x1 = (left + Fraction(one * inner_width, width) for one in box[::2])
    y0, y1 = (top + Fraction(one * inner_height, height) for one in box[1::2])
    mask = np.zeros((SIDE // CELL, SIDE // CELL), bool)
    mask[int(y0 // CELL) : ceil(y1 / CELL), int(x0 // CELL) : ceil(x1 / CELL)] = True
    return mask


@settings(deadline=None)
@given(st.data())
def test_the_cells_of_a_box_are_those_it_touches_exactly(data: st.DataObject) -> None:
    height, width = data.draw(st.integers(1, 400)), data.draw(st.integers(1, 400))
    x0, y0 = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    x1, y1 = data.draw(st.integers(x0 + 1, width)), data.draw(st.integers(y0 + 1, height))
    frame = Frame((height, width), (SIDE, SIDE))
    cells = cells_of(frame.box_to_canvas((x0, y0, x1, y1)), frame.canvas, (SIDE // CELL, SIDE // CELL))
    assert np.array_equal(cells, touched((x0, y0, x1, y1), height, width))


def test_the_whole_picture_may_be_the_box(pipeline: Pipeline) -> None:
    result = pipeline.infill(picture(SIDE, SIDE), (0, 0, SIDE, SIDE), PROMPT, n=2)
    assert not np.array_equal(result.tokens[0], result.tokens[1])


def test_without_paste_the_tokenizers_own_picture_is_shown(pipeline: Pipeline) -> None:
    pixels = picture(60, 100)
    box = middle(60, 100)
    own = pipeline.infill(pixels, box, PROMPT, seed=1, paste=False)
    pasted = pipeline.infill(pixels, box, PROMPT, seed=1)
    assert np.array_equal(own.tokens[0], pasted.tokens[0])
    assert own.images[0].size == (SIDE, SIDE)
    assert pasted.images[0].size == (100, 60)


@pytest.mark.parametrize(
    "box", [(0, 0, 101, 10), (-1, 0, 5, 5), (5, 5, 5, 9), (9, 0, 5, 5), (0, 0, 10, 61), (200, 200, 210, 210)]
)
def test_a_box_outside_the_picture_is_refused(pipeline: Pipeline, box: tuple[int, int, int, int]) -> None:
    with pytest.raises(InputError, match="100 x 60 pixels"):
        pipeline.infill(picture(60, 100), box, PROMPT)


def test_infilling_needs_a_prompt(pipeline: Pipeline) -> None:
    with pytest.raises(InputError, match="prompt is empty"):
        pipeline.infill(picture(60, 100), (0, 0, 9, 9), " ")


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_pictures_of_any_size_get_captions(pipeline: Pipeline, height: int, width: int) -> None:
    result = pipeline.caption(picture(height, width), n=2, seed=3)
    assert len(result.texts) == 2
    assert all(isinstance(text, str) for text in result.texts)
    assert (result.images, result.tokens) == ([], [])
    assert pipeline.caption(picture(height, width), n=1, seed=3).texts == result.texts[:1]


def test_a_path_an_open_picture_and_an_array_are_the_same_picture(pipeline: Pipeline, tmp_path: Path) -> None:
    pixels = picture(30, 50)
    PIL.Image.fromarray(pixels).save(tmp_path / "one.png")
    forms = [pixels, tmp_path / "one.png", str(tmp_path / "one.png"), PIL.Image.open(tmp_path / "one.png")]
    drawn = [pipeline.infill(form, (0, 0, 20, 20), PROMPT, seed=1) for form in forms]
    assert len({one.images[0].tobytes() for one in drawn}) == 1


def test_transparency_is_white_and_a_turned_picture_stands_upright(pipeline: Pipeline, tmp_path: Path) -> None:
    clear = np.dstack([picture(20, 20), np.zeros((20, 20), np.uint8)])
    turned = PIL.Image.fromarray(picture(20, 40))
    exif = turned.getexif()
    exif[0x0112] = 6  # to be turned by a quarter
    PIL.Image.fromarray(clear).save(tmp_path / "clear.png")
    turned.save(tmp_path / "turned.png", exif=exif)
    for open_first in (False, True):
        given = [PIL.Image.open(tmp_path / name) if open_first else tmp_path / name for name in ("clear.png", "turned.png")]
        on_white, upright = (pipeline.infill(one, (0, 0, 5, 5), PROMPT).source for one in given)
        assert (np.asarray(on_white) == 255).all()
        assert upright.size == (20, 40)
        assert np.array_equal(np.asarray(upright), np.rot90(picture(20, 40), -1))


@pytest.mark.parametrize("wrong", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3)), 5, None,
                                   np.zeros((0, 4, 3), np.uint8)])  # fmt: skip
def test_what_is_no_picture_is_refused(pipeline: Pipeline, wrong: object) -> None:
    with pytest.raises(InputError, match="picture"):
        pipeline.caption(wrong)
