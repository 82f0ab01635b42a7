"""What a pipeline returns: typed, printable, and able to write itself down."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from calumma.documents import Document, IntArray, Task
from calumma.documents.pictures import write_png
from calumma.errors import InputError
from calumma.interfaces import Retrieved
from calumma.pipeline.record import write_json
from calumma.pipeline.sheet import contact_sheet


@dataclass(frozen=True)
class Saved:
    """Where a result was written."""

    images: list[Path]
    sheet: Path | None
    record: Path


@dataclass(frozen=True, eq=False)
class Result:
    """The n outcomes of one request.

    Attributes:
        task: what was asked. prompt: its text ("" for a caption).
        documents: the filled documents, n.
        images: the pictures, n (empty for tasks that give text). texts: the texts, n (empty for tasks that give pictures).
        tokens: image ids int64 [h, w] of each picture.
        retrieved: the documents laid before the request, best last.
        seed: of the noise. timings: seconds per stage. record: everything needed to do it again.
        source: the picture that was given, if one was.
    """

    task: Task
    prompt: str
    documents: list[Document]
    images: list[PIL.Image.Image]
    texts: list[str]
    tokens: list[IntArray]
    retrieved: list[Retrieved]
    seed: int
    timings: Mapping[str, float] = field(default_factory=dict)
    record: Mapping[str, Any] = field(default_factory=dict)
    source: PIL.Image.Image | None = None

    def sheet(self) -> PIL.Image.Image:
        """A contact sheet: the retrieved documents beside the drawings, with their captions."""
        return contact_sheet([self])

    def save(self, folder: str | Path) -> Saved:
        """Writes the pictures, their contact sheet and `run.json`; each file whole or not at all. Raises InputError."""
        folder = Path(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"Cannot write to {folder}: {error.strerror}.", "Choose another folder.") from error
        stem = f"{slug(self.prompt) or self.task}-s{self.seed}"
        images = [folder / f"{stem}-{index}.png" for index in range(len(self.images))]
        for path, image in zip(images, self.images, strict=True):
            write_png(path, np.asarray(image))
        sheet = folder / f"{stem}-sheet.png" if images else None
        if sheet is not None:
            write_png(sheet, np.asarray(self.sheet()))
        record = write_json(folder / "run.json", {**self.record, "images": [path.name for path in images]})
        return Saved(images, sheet, record)

    def __repr__(self) -> str:
        outcome = f"{len(self.images)} image(s)" if self.images else f"texts={self.texts}"
        found = ", ".join(str(one.document.id) for one in self.retrieved) or "nothing"
        return f"<Result {self.task} {self.prompt!r}: {outcome}; retrieved {found}; {self.timings.get('total', 0.0):.2f} s>"


def slug(text: str, limit: int = 60) -> str:
    """A file name's worth of a text: lower-case words joined by hyphens."""
    return "-".join(re.findall(r"\w+", text.lower()))[:limit].strip("-")
