"""Documents, and how they become token ids."""

from calumma.documents.document import BoolArray, Document, Hole, Image, IntArray, Modality, Pixels, Text
from calumma.documents.layout import CONDITIONAL, UNCONDITIONAL, Constraint, Layout, Task, TokenSequence

__all__ = [
    "CONDITIONAL", "UNCONDITIONAL", "BoolArray", "Constraint", "Document", "Hole", "Image", "IntArray", "Layout", "Modality",
    "Pixels", "Task", "Text", "TokenSequence",
]
