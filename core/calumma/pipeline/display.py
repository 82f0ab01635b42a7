"""How pipelines and results look in a terminal and in a notebook; texts are escaped, for captions come from anywhere."""

from __future__ import annotations

import base64
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL.Image

from calumma.documents.pictures import png_bytes
from calumma.documents.printing import printable
from calumma.interfaces import Asset, Component, Part, Retrieved

if TYPE_CHECKING:
    from calumma.bank import Bank
    from calumma.pipeline.pipeline import Pipeline
    from calumma.pipeline.result import Result

PICTURES, TEXTS, LETTERS = 24, 200, 240  # at most: drawings, texts, and letters of one text that are shown
SIDE = 256  # of a shown picture, at most, in pixels
_FIGURE = "margin:4px;display:inline-block;width:136px;vertical-align:top;font-size:11px;overflow-wrap:anywhere"


def changed_options(component: Component) -> dict[str, Any]:
    """Option -> value of those that are not their default; an asset or a part as it was written."""
    found = {}
    for name, field in type(component.options).model_fields.items():
        value = getattr(component.options, name)
        if field.is_required() or value != field.get_default(call_default_factory=True):
            found[name] = [_plain(one) for one in value] if isinstance(value, (list, tuple)) else _plain(value)
    return found


def pipeline_text(pipeline: Pipeline) -> str:
    """A line per slot: component id and the options that differ from their defaults; then the bank."""
    lines = [f"  {slot:<16} {part.id:<20} {_options(part)}".rstrip() for slot, part in pipeline.slots.items()]
    return "\n".join(["<Pipeline", *lines, f"  {'bank':<16} {_bank(pipeline.bank)}>"])


def pipeline_html(pipeline: Pipeline) -> str:
    """The same as a table."""
    rows = [(slot, part.id, _options(part)) for slot, part in pipeline.slots.items()]
    rows.append(("bank", _bank(pipeline.bank), ""))
    cells = ("".join(f'<td style="text-align:left">{escape(text)}</td>' for text in row) for row in rows)
    return f"<table><tbody>{''.join(f'<tr>{row}</tr>' for row in cells)}</tbody></table>"


def result_line(result: Result) -> str:
    """One line: what was asked, and what came of it."""
    asked = f"{result.task} {_shortened(result.prompt)!r}" if result.prompt else result.task
    found = _shortened(", ".join(str(one.document.id) for one in result.retrieved)) or "nothing"
    return f"<Result {asked}: {_outcome(result)}; retrieved {found}; {result.timings.get('total', 0.0):.2f} s>"


def result_text(result: Result) -> str:
    """Lines for a person: what was asked, what was retrieved, what came of it."""
    asked = f'"{_shortened(result.prompt)}"' if result.prompt else "a picture"
    lines = [f"{result.task} {asked}, seed {result.seed}: {_outcome(result)} in {result.timings.get('total', 0.0):.1f} s"]
    lines += [f"  retrieved {_of_retrieved(one)}" for one in result.retrieved]
    return "\n".join([*lines, *(f"  {printable(text)}" for text in result.texts)])


def result_html(result: Result) -> str:
    """The given and the retrieved pictures, then what was drawn, each with its caption; texts as a list."""
    asked = f'{result.task} "{_shortened(result.prompt)}"' if result.prompt else result.task
    before = [_figure(result.source, "given")] if result.source is not None else []
    before += [_figure(_picture(one), _of_retrieved(one)) for one in result.retrieved]
    drawn = [
        _figure(image, f"drawn #{sample}")
        for sample, image in list(zip(result.samples, result.images, strict=False))[:PICTURES]
    ]
    texts = "".join(f"<li>{escape(_shortened(text, LETTERS * 10))}</li>" for text in result.texts[:TEXTS])
    hidden = max(0, len(result.images) - PICTURES)
    more = f"<p>and {hidden} more</p>" if hidden else ""
    rows = "".join(f"<div>{''.join(row)}</div>" for row in (before, drawn) if row)
    return f"<p><b>{escape(asked)}</b>, seed {result.seed}</p>{rows}{f'<ol>{texts}</ol>' if texts else ''}{more}"


def _figure(image: PIL.Image.Image | None, caption: str) -> str:
    said = escape(_shortened(caption))
    shown = f'<img src="{_data_address(image)}" alt="{said}" style="width:128px;image-rendering:pixelated">' if image else ""
    return f'<figure style="{_FIGURE}">{shown}<figcaption>{said}</figcaption></figure>'


def _data_address(image: PIL.Image.Image) -> str:
    small = image.convert("RGB")
    small.thumbnail((SIDE, SIDE))
    return "data:image/png;base64," + base64.b64encode(png_bytes(np.asarray(small))).decode()


def _picture(one: Retrieved) -> PIL.Image.Image | None:
    image = one.document.image
    return None if image is None or image.pixels is None else PIL.Image.fromarray(image.pixels)


def _of_retrieved(one: Retrieved) -> str:
    return printable(f"{one.score:.3f}  {one.document.id}  {one.document.text}")


def _outcome(result: Result) -> str:
    if not result.images:
        return f"{len(result.texts)} text{'s' * (len(result.texts) != 1)}"
    sizes = dict.fromkeys(f"{image.width} x {image.height}" for image in result.images)
    return f"{len(result.images)} picture{'s' * (len(result.images) != 1)} of {' and '.join(sizes)}"


def _bank(bank: Bank | None) -> str:
    return "none" if bank is None else f"{bank.name}: {len(bank)} documents, version {bank.version}"


def _options(component: Component) -> str:
    return ", ".join(f"{name}={_shortened(str(value))}" for name, value in changed_options(component).items())


def _plain(value: object) -> object:
    return _source(value.source) if isinstance(value, (Asset, Part)) else value


def _source(source: object) -> object:
    return source.get("use", source) if isinstance(source, dict) else source


def _shortened(text: str, most: int = LETTERS) -> str:
    text = printable(text)
    return text if len(text) <= most else text[: most - 1] + "…"
