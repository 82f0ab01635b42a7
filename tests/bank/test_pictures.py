"""Picture files come in bounded, upright and on white, and go out whole."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calumma.documents.pictures import png_bytes, read_picture, resize_to, write_png
from calumma.errors import InputError


def saved(image: PIL.Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds no pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_what_is_written_comes_back_and_nothing_else_lies_beside_it(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    write_png(tmp_path / "a.png", pixels)
    write_png(tmp_path / "a.png", pixels)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png"), pixels)
    assert (tmp_path / "a.png").read_bytes() == png_bytes(pixels)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Cannot write"):
        write_png(tmp_path / "no" / "a.png", np.zeros((1, 1, 3), np.uint8))
    (tmp_path / "b.png").mkdir()
    with pytest.raises(InputError, match="Cannot write"):
        write_png(tmp_path / "b.png", np.zeros((1, 1, 3), np.uint8))
    assert [path.name for path in tmp_path.iterdir()] == ["b.png"]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_is_white(mode: str) -> None:
    if mode == "P":
        image = PIL.Image.new("P", (2, 1), 0)
        image.putpalette([200, 0, 0, 0, 0, 200])
        image.putpixel((1, 0), 1)
        content = saved(image, transparency=0)
        np.testing.assert_array_equal(read_picture(content), [[[255, 255, 255], [0, 0, 200]]])
        return
    image = PIL.Image.new(mode, (2, 1), (0,) * len(mode))
    image.putpixel((1, 0), (100,) * (len(mode) - 1) + (255,))
    np.testing.assert_array_equal(read_picture(saved(image)), [[[255] * 3, [100] * 3]])


def test_exif_says_which_way_is_up() -> None:
    image = PIL.Image.new("RGB", (4, 2), "white")
    exif = image.getexif()
    exif[0x0112] = 6  # turned by a quarter
    assert read_picture(saved(image, "JPEG", exif=exif)).shape == (4, 2, 3)


def test_sixteen_bits_of_grey_keep_their_range() -> None:
    image = PIL.Image.fromarray(np.array([[0, 32896, 65535]], np.uint16))
    np.testing.assert_array_equal(read_picture(saved(image))[0, :, 0], [0, 128, 255])


@pytest.mark.parametrize(("width", "height"), [(60_000, 3), (3, 60_000), (20_000, 20_000), (2**31 - 1, 2**31 - 1)])
def test_a_picture_too_large_is_refused_before_it_is_unpacked(
    width: int, height: int, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError, match="too large"):
        read_picture(png_header(width, height), "huge.png")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("content", [b"", b"no picture", b"%!PS-Adobe-3.0 EPSF-3.0\n", png_header(4, 4), b"\xff\xd8\xff\xe0"])
def test_what_is_no_picture_is_refused(content: bytes) -> None:
    with pytest.raises(InputError, match=r"x\.png is not a readable picture"):
        read_picture(content, "x.png")


def test_a_cut_off_file_is_refused() -> None:
    whole = saved(PIL.Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)))
    with pytest.raises(InputError, match="not a readable picture"):
        read_picture(whole[: len(whole) // 2])


def test_a_path_that_is_no_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no file"):
        read_picture(tmp_path / "none.png")
    with pytest.raises(InputError, match="is a folder"):
        read_picture(tmp_path)


@given(height=st.integers(1, 60), width=st.integers(1, 60), to=st.tuples(st.integers(1, 40), st.integers(1, 40)))
def test_resizing_gives_the_size_and_pads_with_white(height: int, width: int, to: tuple[int, int]) -> None:
    resized = resize_to(np.zeros((height, width, 3), np.uint8), to)
    assert resized.shape == (*to, 3)
    inside = (resized == 0).all(axis=-1)
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    assert len(rows) == to[0] or len(columns) == to[1]
    assert (resized[~inside] == 255).all()
    assert abs((rows[0] + rows[-1]) - (to[0] - 1)) <= 1
    assert abs((columns[0] + columns[-1]) - (to[1] - 1)) <= 1


def test_a_picture_of_the_right_size_stays_as_it_is() -> None:
    pixels = np.zeros((4, 4, 3), np.uint8)
    assert resize_to(pixels, (4, 4)) is pixels
