"""Options of selection/cm3leon."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from calumma.interfaces import Options

MEANING: dict[str, Any] = {"meaning": True}


class CM3LeonOptions(Options):
    documents: int = Field(2, ge=0, le=16, description="The most documents to take.", json_schema_extra=MEANING)
    candidates: int = Field(32, ge=1, le=4096, description="Hits to ask of the bank per query.", json_schema_extra=MEANING)
    by: Literal["text", "image", "both"] = Field(
        "both",
        description="What to ask by, where the prompt has it; of both, documents are taken in turns.",
        json_schema_extra=MEANING,
    )
    score_cap: float = Field(
        0.9,
        ge=-1,
        le=1,
        description="Documents that score above this are too close to the query, and skipped; 1 skips none.",
        json_schema_extra=MEANING,
    )
    part_cap: float = Field(
        0.9,
        ge=-1,
        le=1,
        description=(
            "The same cap for text against text and image against image. A document's vector is the mean of its parts, so one "
            "whose caption is the query's very words scores only about 0.81: `score_cap` alone would let it pass. 1 skips none."
        ),
        json_schema_extra=MEANING,
    )
    diversity_cap: float = Field(
        0.9,
        ge=-1,
        le=1,
        description="Documents closer than this to one already taken are skipped; 1 skips none.",
        json_schema_extra=MEANING,
    )
    query_dropout: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of the words that a text query loses, at random; CM3Leon trains with 0.2. One word always stays.",
        json_schema_extra=MEANING,
    )
