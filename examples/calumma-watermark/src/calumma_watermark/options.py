"""Options of watermark/lsb."""

from __future__ import annotations

from calumma.interfaces import Options
from pydantic import Field


class LastBitsOptions(Options):
    """`meaning`: another message gives other pictures."""

    message: str = Field(
        "drawn by a model",
        min_length=1,
        max_length=200,
        description="What is written into each picture.",
        json_schema_extra={"meaning": True},
    )
