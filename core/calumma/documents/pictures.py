"""The one way in which picture files come in and go out: bounded, upright, on white, written whole or not at all."""

from __future__ import annotations

import io
import os
import tempfile
import warnings
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageOps

from calumma.documents.document import Pixels
from calumma.errors import InputError
from calumma.files import read_file

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")  # no other reader of Pillow is tried: EPS would call Ghostscript
MAX_FILE = 256 * 2**20
MAX_PIXELS = 100_000_000
MAX_SIDE = 32_768


def read_picture(source: str | Path | bytes, name: str | None = None) -> Pixels:
    """A picture file, or its bytes, as uint8 [H, W, 3]: turned as its EXIF says, its transparency on white.

    Of an animation it is the first frame.

    Args:
        name: what to call the bytes in errors.

    Raises:
        InputError: no ordinary file, no picture, or one above 256 MiB, 100 million pixels or 32,768 pixels along a side.
    """
    what = name or ("the picture" if isinstance(source, bytes) else str(source))
    content = source if isinstance(source, bytes) else _content(Path(source), what)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # sizes are bounded just below; of the rest a user can mend nothing
            with PIL.Image.open(io.BytesIO(content), formats=FORMATS) as image:
                width, height = image.size
                if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
                    raise _too_large(what, f"{width} x {height} pixels are")
                image.load()
                return upright(image)
    except InputError:
        raise
    except PIL.Image.DecompressionBombError as error:
        raise _too_large(what, "its pixels are") from error
    except Exception as error:  # Pillow's readers raise many kinds for a damaged file
        raise InputError(f"{what} is not a readable picture.", f"Give one of {', '.join(FORMATS)}.") from error


def _content(path: Path, what: str) -> bytes:
    try:
        return read_file(path, MAX_FILE)
    except FileNotFoundError as error:
        raise InputError(f"There is no file {what}.", "Check the path.") from error
    except IsADirectoryError as error:
        raise InputError(f"{what} is a folder.", "Give a picture file.") from error
    except OSError as error:
        raise InputError(f"{what} cannot be read: {error.strerror}.", "Give a picture file.") from error


def upright(image: PIL.Image.Image) -> Pixels:
    """An open picture as uint8 [H, W, 3]: turned as its EXIF says, its transparency on white."""
    return _on_white(PIL.ImageOps.exif_transpose(image))


def write_png(path: Path, pixels: Pixels) -> None:
    """Writes uint8 [H, W, 3] as PNG; the file is whole or not there. Raises InputError where it cannot be written."""
    write_bytes(path, png_bytes(pixels))


def png_bytes(pixels: Pixels) -> bytes:
    """uint8 [H, W, 3] as a PNG file; the same bytes each time."""
    buffer = io.BytesIO()
    PIL.Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG")
    return buffer.getvalue()


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file beside its place, then moves it there. Raises InputError where it cannot be written."""
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            temporary = Path(file.name)
            file.write(content)
        temporary.chmod(0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException as error:  # KeyboardInterrupt too
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        raise InputError(f"Cannot write {path}: {error.strerror}.", "Choose another folder.") from error


def resize_to(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """uint8 [H, W, 3] -> [*size, 3]: scaled to fit with its aspect kept, centred, padded with white."""
    height, width = pixels.shape[:2]
    if (height, width) == tuple(size):
        return pixels
    scale = min(size[0] / height, size[1] / width)
    inner = (max(1, round(height * scale)), max(1, round(width * scale)))
    top, left = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    canvas = np.full((*size, 3), 255, np.uint8)
    image = PIL.Image.fromarray(np.ascontiguousarray(pixels)).resize((inner[1], inner[0]), PIL.Image.Resampling.LANCZOS)
    canvas[top : top + inner[0], left : left + inner[1]] = np.asarray(image)
    return canvas


def _on_white(image: PIL.Image.Image) -> Pixels:
    if image.mode.startswith("I;16") or image.mode == "I":  # 16 bits of grey, which convert() would clip
        grey = (np.asarray(image).clip(0, 65535).astype(np.uint32) + 128) // 257
        return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = PIL.Image.new("RGBA", image.size, "white")
        image = PIL.Image.alpha_composite(white, image)
    return np.array(image.convert("RGB"))


def _too_large(what: str, measure: str) -> InputError:
    limits = f"{MAX_PIXELS:,} pixels, {MAX_SIDE:,} along a side"
    return InputError(f"{what} is too large: {measure} above the bound ({limits}).", "Scale it down first.")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
