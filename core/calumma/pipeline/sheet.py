"""Contact sheets: what was retrieved beside what was drawn, because people would rather look."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

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
            image = one.document.image
            pixels = None if image is None or image.pixels is None else PIL.Image.fromarray(image.pixels)
            _tile(sheet, draw, x, top + 28, pixels, f"{one.document.text}  {one.score:.2f}", framed=True)
            x += TILE + GAP
        x = MARGIN + left * (TILE + GAP) + (2 * GAP if left else 0)
        for number, drawing in enumerate(result.images):
            _tile(sheet, draw, x, top + 28, drawing, f"drawn #{number}")
            x += TILE + GAP
    return sheet


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
