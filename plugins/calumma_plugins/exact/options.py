"""Options of exact/flat."""

from __future__ import annotations

from calumma.interfaces import Options
from pydantic import Field


class FlatOptions(Options):
    block: int = Field(65536, ge=1, le=10_000_000, description="Rows that are scored at once; bounds the memory of a search.")
