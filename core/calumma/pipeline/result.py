"""What a pipeline returns: typed, printable, and able to write itself down."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from calumma.documents import Document, IntArray, Task
from calumma.documents.pictures import png_bytes, write_png
from calumma.errors import InputError
from calumma.interfaces import Retrieved
from calumma.pipeline import display
from calumma.pipeline.record import write_json
from calumma.pipeline.sheet import contact_sheet

PREVIEW = "preview.png"


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
        samples: the number of each outcome's sample; drawn again with the same seed, that sample is the same.
        scores: of the pictures, by the embedder, where each is the best of several samples; else empty.
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
    samples: list[int]
    scores: list[float]
    retrieved: list[Retrieved]
    seed: int
    timings: Mapping[str, float] = field(default_factory=dict)
    record: Mapping[str, Any] = field(default_factory=dict)
    source: PIL.Image.Image | None = None

    def sheet(self) -> PIL.Image.Image:
        """A contact sheet: the retrieved documents beside the drawings, with their captions."""
        return contact_sheet([self])

    def save(self, folder: str | Path) -> Saved:
        """Writes the pictures, their contact sheet and their record; each file whole or not at all. Raises InputError.

        Names begin with the prompt and the seed, and a picture's ends with the number of its sample, so that runs can share
        a folder; the same run again replaces its own files.
        """
        return Saver(folder, self.stem).result(self)

    @property
    def stem(self) -> str:
        """What the names of its files begin with: "a-red-apple-s1", or "a-red-apple-infill-s1" for other tasks."""
        return stem_of(self.task, self.prompt, self.seed)

    def __repr__(self) -> str:
        return display.result_line(self)

    def __str__(self) -> str:
        return display.result_text(self)

    def _repr_html_(self) -> str:
        return display.result_html(self)

    def _repr_png_(self) -> bytes | None:
        return png_bytes(np.asarray(self.sheet())) if self.images else None


class Saver:
    """Writes the files of one run into a folder, pictures as soon as they are there; each file whole or not at all."""

    def __init__(self, folder: str | Path, stem: str) -> None:
        self._folder = Path(folder)
        self._stem = stem
        self._written: dict[int, Path] = {}

    def picture(self, sample: int, image: PIL.Image.Image) -> Path:
        """Writes the picture of a sample, unless it has; where it lies. Raises InputError."""
        if sample not in self._written:
            path = self._made() / f"{self._stem}-{sample}.png"
            write_png(path, np.asarray(image))
            self._written[sample] = path
        return self._written[sample]

    def result(self, result: Result) -> Saved:
        """Writes what is not written yet, the contact sheet, and the record last. Raises InputError."""
        folder = self._made()
        first = result.record.get("first")
        stem = f"{self._stem}-from-{first}" if first else self._stem
        images = [self.picture(*one) for one in zip(result.samples, result.images, strict=False)]
        sheet = folder / f"{stem}-sheet.png" if images else None
        if sheet is not None:
            write_png(sheet, np.asarray(result.sheet()))
        record = write_json(folder / f"{stem}.json", {**result.record, "images": [path.name for path in images]})
        return Saved(images, sheet, record)

    def preview(self, sheet: PIL.Image.Image) -> None:
        """Writes preview.png, or writes it anew. Raises InputError."""
        write_png(self._made() / PREVIEW, np.asarray(sheet))

    def without_preview(self) -> None:
        """Takes preview.png away: what it showed is finished, or never will be."""
        (self._folder / PREVIEW).unlink(missing_ok=True)

    def _made(self) -> Path:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"Cannot write to {self._folder}: {error.strerror}.", "Choose another folder.") from error
        return self._folder


def stem_of(task: Task, prompt: str, seed: int) -> str:
    """What the names of a result's files begin with."""
    words = [slug(prompt), "" if prompt and task == "generate" else task, f"s{seed}"]
    return "-".join(word for word in words if word)


def slug(text: str, limit: int = 60) -> str:
    """A file name's worth of a text: lower-case words joined by hyphens; what is cut off is told apart by 8 hex digits."""
    words = "-".join(re.findall(r"\w+", text.lower()))
    if len(words) <= limit:
        return words
    return f"{words[: limit - 9].strip('-')}-{hashlib.sha256(text.encode(errors='surrogatepass')).hexdigest()[:8]}"
