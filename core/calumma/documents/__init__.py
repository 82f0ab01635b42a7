"""Documents, and how they become token ids."""

from calumma.documents.cm3leon import CM3LeonLayout
from calumma.documents.document import BoolArray, Document, Hole, Image, IntArray, Modality, Pixels, Text
from calumma.documents.layout import (
    CONDITIONAL,
    IMAGE_ONLY,
    TEXT_ONLY,
    UNCONDITIONAL,
    Constraint,
    Layout,
    Task,
    TokenSequence,
    codes_of,
)
from calumma.documents.spans import Span, clip, move, segments, trim
from calumma.documents.vocabulary import Vocabulary

__all__ = [
    "CM3LeonLayout",
    "CONDITIONAL",
    "IMAGE_ONLY",
    "TEXT_ONLY",
    "UNCONDITIONAL",
    "BoolArray",
    "Constraint",
    "Document",
    "Hole",
    "Image",
    "IntArray",
    "Layout",
    "Modality",
    "Pixels",
    "Span",
    "Task",
    "Text",
    "TokenSequence",
    "Vocabulary",
    "clip",
    "codes_of",
    "move",
    "segments",
    "trim",
]
