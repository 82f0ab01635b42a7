"""Between pictures as people have them (uint8, any size) and as tokenizers want them (float, one size)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import PIL.Image

from calumma.documents import BoolArray, IntArray, Pixels
from calumma.documents.pictures import read_picture, resize_to, upright
from calumma.errors import InputError

if TYPE_CHECKING:
    from calumma.interfaces import ImageTokenizer

Box = tuple[int, int, int, int]
Picture = str | Path | Pixels | PIL.Image.Image


def as_pixels(picture: Picture) -> Pixels:
    """uint8 [H, W, 3] of a file, an open picture, or an array that is so already. Raises InputError."""
    if isinstance(picture, (str, Path)):
        return read_picture(Path(picture))
    if isinstance(picture, PIL.Image.Image):
        return upright(picture)
    if not (isinstance(picture, np.ndarray) and picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3):
        raise InputError(
            f"A picture as an array is uint8 [H, W, 3], not {what_it_is(picture)}.", "Convert it, or give its path."
        )
    if not picture.size:
        raise InputError("The picture has no pixels.", "Give one of at least one pixel.")
    return picture


def what_it_is(value: object) -> str:
    """Dtype and shape of an array, the type of anything else: for errors."""
    return f"{value.dtype} {list(value.shape)}" if isinstance(value, np.ndarray) else type(value).__name__


def encode_picture(tokenizer: ImageTokenizer, pixels: Pixels) -> IntArray:
    """Ids int64 [h, w] of one picture, padded to the tokenizer's resolution.

    One picture at a time: in a batch the last bits of a convolution, and so perhaps a code, can depend on the others.
    """
    import torch

    fitted = resize_to(pixels, tokenizer.resolution)
    tensor = torch.from_numpy(fitted.astype(np.float32) / 255.0).permute(2, 0, 1)[None]
    return np.asarray(tokenizer.encode(tensor)[0].cpu().numpy(), np.int64)


def decode_picture(tokenizer: ImageTokenizer, ids: IntArray) -> Pixels:
    """Picture uint8 [H, W, 3] of ids int64 [h, w]; one at a time, for the same bytes in any batch."""
    import torch

    image = tokenizer.decode(torch.from_numpy(np.asarray(ids, np.int64))[None])[0]
    return np.asarray((image.float().cpu().clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy())


@dataclass(frozen=True)
class Frame:
    """Where a picture lies inside the tokenizer's canvas: scaled to fit, centred, padded with white.

    Attributes:
        size: (H, W) of the picture. canvas: (H, W) of the tokenizer. inner: (top, left, height, width) in the canvas.
    """

    size: tuple[int, int]
    canvas: tuple[int, int]

    @property
    def inner(self) -> tuple[int, int, int, int]:
        (height, width), (canvas_height, canvas_width) = self.size, self.canvas
        scale = min(canvas_height / height, canvas_width / width)
        fitted = (max(1, round(height * scale)), max(1, round(width * scale)))
        return (canvas_height - fitted[0]) // 2, (canvas_width - fitted[1]) // 2, fitted[0], fitted[1]

    def box_to_canvas(self, box: Box) -> tuple[float, float, float, float]:
        """A box (x0, y0, x1, y1) in the picture's pixels, as one in the canvas's."""
        top, left, inner_height, inner_width = self.inner
        x0, y0, x1, y1 = box  # multiplied before divided, so that an edge on a cell's border stays on it
        return (
            left + x0 * inner_width / self.size[1],
            top + y0 * inner_height / self.size[0],
            left + x1 * inner_width / self.size[1],
            top + y1 * inner_height / self.size[0],
        )

    def back(self, drawn: Pixels) -> Pixels:
        """What was drawn on the canvas, cut and scaled to the picture's size."""
        top, left, height, width = self.inner
        cut = PIL.Image.fromarray(drawn[top : top + height, left : left + width])
        if cut.size != (self.size[1], self.size[0]):
            cut = cut.resize((self.size[1], self.size[0]), PIL.Image.Resampling.BICUBIC)
        return np.asarray(cut)


def cells_of(box: tuple[float, float, float, float], canvas: tuple[int, int], grid: tuple[int, int]) -> BoolArray:
    """bool [h, w]: the cells that a box on the canvas touches."""
    x0, y0, x1, y1 = box
    cell_height, cell_width = canvas[0] / grid[0], canvas[1] / grid[1]
    mask = np.zeros(grid, bool)
    rows = slice(int(y0 // cell_height), int(np.ceil(y1 / cell_height)))
    columns = slice(int(x0 // cell_width), int(np.ceil(x1 / cell_width)))
    mask[rows, columns] = True
    return mask


def check_box(box: Box, pixels: Pixels) -> None:
    """Raises InputError unless 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height."""
    height, width = pixels.shape[:2]
    x0, y0, x1, y1 = box
    if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
        raise InputError(
            f"The box {x0},{y0},{x1},{y1} does not lie in the picture, which is {width} x {height} pixels.",
            "Give --box X0,Y0,X1,Y1 with X0 < X1 and Y0 < Y1 inside it.",
        )


def paste_box(pixels: Pixels, drawn: Pixels, box: Box) -> Pixels:
    """A copy of `pixels` with the inside of a box from `drawn`, a picture of the same size."""
    x0, y0, x1, y1 = box
    pasted = pixels.copy()
    pasted[y0:y1, x0:x1] = drawn[y0:y1, x0:x1]
    return pasted
