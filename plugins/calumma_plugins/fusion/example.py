"""The smallest fusion: two exact indexes, one of which counts half."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def two_exact(folder: Path) -> dict[str, Any]:
    """Options that need no library and no file."""
    return {"retrievers": ["exact/flat", {"use": "exact/flat", "block": 1000}], "weights": [1.0, 0.5]}
