"""Contact sheets: what was retrieved beside what was drawn, because people would rather look."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

from calumma.documents import Pixels
from calumma.documents.printing import printable
from calumma.interfaces import Retrieved

if TYPE_CHECKING:
    from calumma.pipeline.result import Result

TILE, GAP, CAPTION, MARGIN = 128, 12, 46, 20
INK, FAINT, PAPER, FRAME = (30, 30, 34), (120, 120, 128), (255, 255, 255), (222, 222, 226)


def contact_sheet(results: Sequence[Result], title: str = "") -> PIL.Image.Image:
    """One row a result: its prompt, the retrieved documents (framed, with score), then the drawings."""
    shown = [len(result.retrieved) + (result.source is not None) for result in results]
    left = max([*shown, 0])
    right = max(len(result.images) for result in results)
    row_height = 30 + TILE + CAPTION
    heading = 44 if title else 0
    width = 2 * MARGIN + (left + right) * (TILE + GAP) + (2 * GAP if left else 0)
    sheet = PIL.Image.new("RGB", (max(width, 420), 2 * MARGIN + heading + len(results) * row_height), PAPER)
    draw = PIL.ImageDraw.Draw(sheet)
    if title:
        draw.text((MARGIN, MARGIN), title, INK, _font(22))
    for index, result in enumerate(results):
        top = MARGIN + heading + index * row_height
        draw.text((MARGIN, top), f"{result.prompt or result.task}   (seed {result.seed})", INK, _font(16))
        x = MARGIN
        if result.source is not None:
            _tile(sheet, draw, x, top + 28, result.source, "given", framed=True)
            x += TILE + GAP
        for one in result.retrieved:
            _tile(sheet, draw, x, top + 28, _picture(one), f"{one.document.text}  {one.score:.2f}", framed=True)
            x += TILE + GAP
        x = MARGIN + left * (TILE + GAP) + (2 * GAP if left else 0)
        for i, drawing in enumerate(result.images):
            score = f", score {result.scores[i]:.2f}" if result.scores else ""
            _tile(sheet, draw, x, top + 28, drawing, f"drawn #{result.samples[i]}{score}")
            x += TILE + GAP
    return sheet


def hits_sheet(found: Sequence[Retrieved], title: str, asked: Pixels | None = None) -> Pixels:
    """What a search found, best first, six a row, with scores; the picture that was asked by stands first. uint8 [H, W, 3]."""
    tiles: list[tuple[PIL.Image.Image | None, str]] = []
    if asked is not None:
        tiles.append((PIL.Image.fromarray(asked), "asked"))
    tiles += [(_picture(one), f"{one.score:.3f}  {one.document.text}") for one in found]
    return np.asarray(_grid(tiles, title, 6))


def drawing_sheet(images: Mapping[int, PIL.Image.Image], title: str) -> PIL.Image.Image:
    """Samples while they are drawn, each with its number, eight a row."""
    return _grid([(image, f"drawing #{sample}") for sample, image in images.items()], title, 8)


def _grid(tiles: Sequence[tuple[PIL.Image.Image | None, str]], title: str, most: int) -> PIL.Image.Image:
    """Framed tiles with their captions below a title, at most `most` a row."""
    columns = min(most, max(1, len(tiles)))
    rows = -(-len(tiles) // columns)
    size = (max(420, 2 * MARGIN + columns * (TILE + GAP)), 2 * MARGIN + 44 + rows * (TILE + CAPTION + GAP))
    sheet = PIL.Image.new("RGB", size, PAPER)
    draw = PIL.ImageDraw.Draw(sheet)
    draw.text((MARGIN, MARGIN), textwrap.shorten(printable(title), 80, placeholder="…"), INK, _font(18))
    for i, (image, caption) in enumerate(tiles):
        row, column = divmod(i, columns)
        place = (MARGIN + column * (TILE + GAP), MARGIN + 44 + row * (TILE + CAPTION + GAP))
        _tile(sheet, draw, *place, image, printable(caption), framed=True)
    return sheet


def _picture(one: Retrieved) -> PIL.Image.Image | None:
    image = one.document.image
    return None if image is None or image.pixels is None else PIL.Image.fromarray(image.pixels)


def _tile(
    sheet: PIL.Image.Image,
    draw: PIL.ImageDraw.ImageDraw,
    x: int,
    y: int,
    image: PIL.Image.Image | None,
    caption: str,
    framed: bool = False,
) -> None:
    if image is not None:
        scale = TILE / max(image.size)
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        tile = image.convert("RGB").resize(size, PIL.Image.Resampling.LANCZOS)
        sheet.paste(tile, (x + (TILE - size[0]) // 2, y + (TILE - size[1]) // 2))
    if framed:
        draw.rectangle((x - 2, y - 2, x + TILE + 1, y + TILE + 1), outline=FRAME, width=2)
    lines = textwrap.fill(textwrap.shorten(caption, 62, placeholder="…"), 22)
    draw.multiline_text((x, y + TILE + 4), lines, FAINT, _font(11), spacing=2)


def _font(size: int) -> PIL.ImageFont.FreeTypeFont | PIL.ImageFont.ImageFont:
    return PIL.ImageFont.load_default(size)
