"""Pictures come from anybody: each is read right or refused with a sentence, in bounded memory, and nothing else is called."""

from __future__ import annotations

import gzip
import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageCms
import pytest

from calumma.bank import ImageFolder, Item, Skipped
from calumma.documents.pictures import read_picture, write_png
from calumma.errors import InputError

from .conftest import Canary, Refused, sentence

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)


def saved(kind: str = "PNG", image: PIL.Image.Image | None = None, **options: object) -> bytes:
    buffer = io.BytesIO()
    (image or PIL.Image.fromarray(PIXELS)).save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(width: int, height: int, *chunks: bytes, rows: bytes = b"") -> bytes:
    """A PNG of these chunks, between its header and its rows."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def with_size(kind: str, old: bytes, new: bytes) -> bytes:
    """A picture file whose header was changed; `old` must be there."""
    content = saved(kind)
    assert old in content
    return content.replace(old, new, 1)


def half(kind: str) -> bytes:
    return saved(kind)[: len(saved(kind)) // 2]


def zeros() -> bytes:
    """100 MB in 100 kB."""
    return zlib.compress(bytes(100_000_000), 9)


def postscript(canary: Canary) -> bytes:
    return f"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(%pipe%{canary.command}) (w) file\nshowpage\n".encode()


NUMPY = b"\x93NUMPY\1\0v\0{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'
HOSTILE: dict[str, Callable[[Canary], bytes]] = {
    "a PNG of 100,000 x 100,000": lambda _: png(100_000, 100_000, rows=bytes(1000)),
    "a PNG that claims four thousand million pixels a side": lambda _: png(2**32 - 1, 2**32 - 1),
    "a GIF of 65,535 x 65,535": lambda _: with_size("GIF", struct.pack("<HH", 32, 24), b"\xff\xff\xff\xff"),
    "a BMP of 90,000 x 90,000": lambda _: with_size("BMP", struct.pack("<ii", 32, 24), struct.pack("<ii", 90_000, 90_000)),
    "a TIFF of 99,999 x 24": lambda _: with_size(
        "TIFF", struct.pack("<HHII", 256, 4, 1, 32), struct.pack("<HHII", 256, 4, 1, 99_999)
    ),
    "a text chunk that unpacks to 100 MB": lambda _: png(32, 24, chunk(b"zTXt", b"a\0\0" + zeros())),
    "international text that unpacks to 100 MB": lambda _: png(32, 24, chunk(b"iTXt", b"a\0\1\0\0\0" + zeros())),
    "a colour profile that unpacks to 100 MB": lambda _: png(32, 24, chunk(b"iCCP", b"a\0\0" + zeros())),
    "a chunk longer than the file": lambda _: png(32, 24)[:40] + b"\xff\xff\xff\xff",
    "rows that are missing": lambda _: png(32, 24),
    "half a PNG": lambda _: half("PNG"),
    "half a JPEG": lambda _: half("JPEG"),
    "half a WebP": lambda _: half("WEBP"),
    "half a GIF": lambda _: half("GIF"),
    "nothing": lambda _: b"",
    "EPS, for which Ghostscript would be called": postscript,
    "EPS behind a DOS header": lambda one: b"\xc5\xd0\xd3\xc6" + struct.pack("<6I", 30, 100, 0, 0, 0, 0) + postscript(one),
    "PDF": lambda _: b"%PDF-1.4\n1 0 obj<</OpenAction<</S/Launch/F(/bin/sh)>>>>endobj\n",
    "SVG": lambda _: SVG,
    "SVG, compressed": lambda _: gzip.compress(SVG),
    "PSD": lambda _: b"8BPS\0\1" + bytes(60),
    "ICO": lambda _: saved("ICO"),
    "PPM": lambda _: saved("PPM"),
    "TGA": lambda _: saved("TGA"),
    "PCX": lambda _: saved("PCX"),
    "DDS": lambda _: saved("DDS"),
    "JPEG 2000": lambda _: b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(60),
    "a pickle": lambda one: one.pickled(),
    "an object array of NumPy": lambda one: NUMPY + one.pickled(),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_picture_is_refused_with_a_sentence(what: str, canary: Canary, capfd: pytest.CaptureFixture[str]) -> None:
    content = HOSTILE[what](canary)
    with pytest.raises(InputError) as error:
        read_picture(content, "sent.png")
    assert "sent.png" in sentence(error.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "what", ["a PNG of 100,000 x 100,000", "a text chunk that unpacks to 100 MB", "EPS behind a DOS header"]
)
def test_the_verbs_refuse_it_before_anything_is_loaded(what: str, canary: Canary, tmp_path: Path, refused: Refused) -> None:
    path = tmp_path / "sent.png"
    path.write_bytes(HOSTILE[what](canary))
    assert "sent.png" in refused("caption", path)
    assert "sent.png" in refused("infill", path, "--box", "0,0,1,1", "--prompt", "x")


def test_what_is_odd_but_whole_is_read_right() -> None:
    white = np.full((2, 3, 3), 255, np.uint8)
    exif = PIL.Image.Exif()
    exif[0x0112] = 99  # a turn that does not exist
    exif[0x010E] = "x" * 60_000
    for content in (
        saved(exif=exif),
        saved() + b"PK\x03\x04 and a whole archive behind it",
        saved(icc_profile=b"no profile at all" * 99),
        saved(icc_profile=PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes()),
        saved("GIF", PIL.Image.fromarray(PIXELS).quantize(256)),
        saved("TIFF", compression="tiff_lzw"),
        saved("WEBP", lossless=True),
    ):
        assert read_picture(content).shape == PIXELS.shape
    np.testing.assert_array_equal(read_picture(saved(exif=exif)), PIXELS)
    np.testing.assert_array_equal(read_picture(saved("TIFF", PIL.Image.new("CMYK", (3, 2)))), white)
    np.testing.assert_array_equal(read_picture(saved("TIFF", PIL.Image.new("F", (3, 2), 255.0))), white)
    np.testing.assert_array_equal(read_picture(saved("TIFF", PIL.Image.new("LAB", (3, 2), (255, 128, 128)))).shape, white.shape)
    np.testing.assert_array_equal(read_picture(saved(image=PIL.Image.new("I;16", (3, 2), 65535))), white)
    np.testing.assert_array_equal(read_picture(saved(image=PIL.Image.new("1", (3, 2), 1))), white)


def test_of_an_animation_only_the_first_frame_is_unpacked() -> None:
    frames = [PIL.Image.new("RGB", (3, 2), (i % 256, 0, 0)) for i in range(500)]
    for kind, options in (("GIF", {}), ("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {})):
        content = saved(kind, frames[0], save_all=True, append_images=frames[1:], **options)
        np.testing.assert_array_equal(read_picture(content), np.zeros((2, 3, 3), np.uint8))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_bytes_changed_anywhere_give_a_picture_or_a_sentence(kind: str) -> None:
    draw = np.random.default_rng(0)
    good = saved(kind)
    for _ in range(120):
        content = bytearray(good)
        for place in draw.integers(0, len(content), draw.integers(1, 6)):
            content[place] = draw.integers(256)
        try:
            pixels = read_picture(bytes(content))
        except InputError:
            continue
        assert pixels.dtype == np.uint8
        assert pixels.ndim == 3


def odd_paths(folder: Path) -> dict[str, Path]:
    os.mkfifo(folder / "pipe.png")
    links = {
        "pipe": folder / "pipe.png",
        "device": Path("/dev/zero"),
        "itself": folder / "link-to-itself.png",
        "folder": folder,
    }
    for name, target in links.items():
        (folder / f"link-to-{name}.png").symlink_to(target)
    found = {name: folder / f"link-to-{name}.png" for name in links}
    return found | {"a pipe": folder / "pipe.png", "a device": Path("/dev/tty")}


def test_what_is_no_ordinary_file_is_refused_at_once(tmp_path: Path, refused: Refused) -> None:
    for path in odd_paths(tmp_path).values():
        assert str(path) in refused("caption", path)
    for name in ("a\0b.png", "a" * 5000, "\ud800.png"):
        with pytest.raises(InputError):
            read_picture(name)


def test_a_file_larger_than_any_picture_is_not_read(tmp_path: Path, refused: Refused) -> None:
    with (tmp_path / "sparse.png").open("wb") as file:
        file.write(saved())
        file.truncate(2**40)
    assert "sparse.png" in refused("caption", tmp_path / "sparse.png")


def test_a_folder_of_pictures_gives_nothing_from_outside_of_it(tmp_path: Path, canary: Canary) -> None:
    source, secret = tmp_path / "source", tmp_path / "secret.png"
    source.mkdir()
    secret.write_bytes(saved())
    odd_paths(source)
    (source / "a.png").write_bytes(saved())
    os.mkfifo(source / "a.txt")
    (source / "out").symlink_to(tmp_path)
    (source / "out.png").symlink_to(secret)
    (source / "metadata.csv").symlink_to("/dev/zero")
    names = ["../secret.png", str(secret), "out/secret.png", "out.png", "pipe.png", "link-to-device.png", "/dev/zero"]
    names += ["a\\u0000b.png", "\\ud800.png", "n" * 5000, "link-to-itself.png", ".", "..", "a.png/x"]
    lines = [f'{{"file_name": "{name}", "text": "x"}}' for name in names] + [
        "[" * 100_000,
        '{"a":' * 100_000,
        "{}",
        "9" * 10_000,
    ]
    (source / "metadata.jsonl").write_text("\n".join(lines))
    found = list(ImageFolder(source))
    assert [one for one in found if isinstance(one, Item)] == []
    assert len(found) >= len(lines)
    assert all(isinstance(one, Skipped) and one.reason for one in found)


def test_what_is_written_replaces_a_link_and_never_what_it_leads_to(tmp_path: Path) -> None:
    victim, place = tmp_path / "victim", tmp_path / "out.png"
    victim.write_text("precious")
    place.symlink_to(victim)
    write_png(place, PIXELS)
    assert victim.read_text() == "precious"
    assert not place.is_symlink()
    np.testing.assert_array_equal(read_picture(place), PIXELS)
