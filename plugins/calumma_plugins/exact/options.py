"""Options of exact/flat."""

from __future__ import annotations

from pydantic import Field

from calumma.interfaces import Options


class FlatOptions(Options):
    block: int = Field(65536, ge=1, le=10_000_000, description="Rows that are scored at once; bounds the memory of a search.")
