"""Options of usearch/index."""

from __future__ import annotations

from typing import Literal

from calumma.interfaces import Options
from pydantic import Field, JsonValue

MEANING: dict[str, JsonValue] = {"meaning": True}
SEARCH: dict[str, JsonValue] = {"meaning": True, "search": True}


class USearchOptions(Options):
    """Those of the graph make another index; those of the search only ask it differently."""

    connectivity: int = Field(
        32,
        ge=2,
        le=512,
        description="Neighbours that a vector keeps; more find more and take memory.",
        json_schema_extra=MEANING,
    )
    expansion_add: int = Field(
        128,
        ge=1,
        le=100_000,
        description="Candidates that are looked at while building; more find more and take longer to build.",
        json_schema_extra=MEANING,
    )
    scalar: Literal["float32", "float16"] = Field(
        "float32", description="What vectors are kept as; float16 takes half the room.", json_schema_extra=MEANING
    )
    expansion_search: int = Field(
        64,
        ge=1,
        le=1_000_000,
        description="Candidates that a search keeps; more find more and take longer.",
        json_schema_extra=SEARCH,
    )
    map_memory: bool = Field(
        False,
        description="Leave an opened index on disk and read what a search touches; the first change loads it.",
        json_schema_extra={"search": True},
    )
