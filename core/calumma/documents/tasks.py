"""Tasks as documents with a hole, in the words that CM3Leon is fine-tuned on (arXiv:2309.02591, section 4, table 5).

A document without its hole (the same parts, the answer in its place) is the training sample of the task.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from calumma.documents.document import BoolArray, Document, Hole, Image, Text
from calumma.errors import InputError

Grid = tuple[int, int]
Box = tuple[int, int, int, int]
Structure = Literal["canny edge", "hed", "depth", "3D norm", "openpose", "scribble", "segmentation"]
CaptionStyle = Literal["plain", "describe", "detail"]
AnswerForm = Literal["short", "sentence"]

EDIT = "Edit first image following the instruction"
WRITE_TEXT = 'draw "{text}"'
PLACE = "Generate high quality image of {caption} with segmentations {places}"
FROM_FEATURES = "Make high quality image from {structure} features"
FROM_SEGMENTATION = "Make high quality image from a segmentation map"
CAPTION_PREFIXES: dict[CaptionStyle, str] = {
    "plain": "",
    "describe": "Describe the given picture. ",
    "detail": "Describe all the objects in the given image in very detail. ",
}
QUESTIONS: dict[AnswerForm, str] = {
    "short": "Question: {question} Answer:",
    "sentence": "Question: {question} The answer is",
}


@dataclass(frozen=True)
class Placed:
    """An object and the box, in pixels (x0, y0, x1, y1), that it is to fill."""

    name: str
    box: Box


def text_to_image(prompt: str, grid: Grid | None = None) -> Document:
    """A picture of a text."""
    return Document((Text(prompt), _image_hole(grid)))


def caption(image: Image, style: CaptionStyle = "plain", limit: int | None = 64) -> Document:
    """A text of a picture, of at most `limit` ids. The text stands first, so it is infilled after the picture was read."""
    prefix = CAPTION_PREFIXES[style]
    hole = Hole("text", limit=limit)
    return Document((Text(prefix), hole, image) if prefix else (hole, image))


def infill(image: Image, masked: BoolArray, prompt: str = "") -> Document:
    """The masked cells (bool [h, w]) of a picture, drawn anew. Raises InputError where no cell is masked."""
    if not masked.any():
        raise InputError("The box covers no cell of the picture.", "Give a box of at least one pixel inside the picture.")
    hollow = Image(image.pixels, image.tokens, masked, image.uri)
    return Document((Text(prompt), hollow) if prompt else (hollow,))


def edit(image: Image, instruction: str, grid: Grid | None = None) -> Document:
    """A picture like the given one, changed as the instruction says."""
    return Document((Text(EDIT), image, Text(instruction), _image_hole(grid)))


def answer(image: Image, question: str, form: AnswerForm = "short", limit: int | None = 32) -> Document:
    """A text that answers a question on a picture. Training's answers begin with a space and end with a full stop."""
    return Document((Text(QUESTIONS[form].format(question=question)), Hole("text", limit=limit), image))


def write_text(text: str, grid: Grid | None = None) -> Document:
    """A picture that shows a text."""
    return text_to_image(WRITE_TEXT.format(text=text), grid)


def place_objects(caption: str, objects: Sequence[Placed], grid: Grid | None = None) -> Document:
    """A picture whose objects stand where they are told to."""
    places = ", ".join("{} at ({}, {}) -> ({}, {})".format(one.name, *one.box) for one in objects)
    return text_to_image(PLACE.format(caption=caption, places=places), grid)


def from_structure(kind: Structure, structure: Image, caption: str, grid: Grid | None = None) -> Document:
    """A picture that follows another's edges, depth, pose or segmentation."""
    told = FROM_SEGMENTATION if kind == "segmentation" else FROM_FEATURES.format(structure=kind)
    return Document((Text(told), structure, Text(caption), _image_hole(grid)))


def _image_hole(grid: Grid | None) -> Hole:
    return Hole("image", grid=grid)
