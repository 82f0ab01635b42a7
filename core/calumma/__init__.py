"""Calumma: retrieval-augmented, token-based text-and-image models whose every part can be swapped.

Names are loaded when they are first used, so that `import calumma` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from calumma.errors import CalummaError

if TYPE_CHECKING:
    from calumma.bank import Bank
    from calumma.documents import Document, Hole, Image, Text
    from calumma.pipeline import Pipeline, Result, component, load

__version__ = "0.1.0"
__all__ = [
    "Bank",
    "CalummaError",
    "Document",
    "Hole",
    "Image",
    "Pipeline",
    "Result",
    "Text",
    "__version__",
    "component",
    "load",
]

_HOMES = {
    "Bank": "calumma.bank",
    "Document": "calumma.documents",
    "Hole": "calumma.documents",
    "Image": "calumma.documents",
    "Text": "calumma.documents",
    "Pipeline": "calumma.pipeline",
    "Result": "calumma.pipeline",
    "component": "calumma.pipeline",
    "load": "calumma.pipeline",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'calumma' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
