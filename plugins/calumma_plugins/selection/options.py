"""Options of the selections."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from calumma.interfaces import Options

MEANING: dict[str, Any] = {"meaning": True}


class SelectionOptions(Options):
    documents: int = Field(2, ge=0, le=16, description="The most documents to take.", json_schema_extra=MEANING)
    by: Literal["text", "image", "both"] = Field(
        "both",
        description="What to ask by, where the prompt has it; of both, documents are taken in turns.",
        json_schema_extra=MEANING,
    )
    where: str | None = Field(
        None,
        min_length=1,
        max_length=4096,
        description="A condition on metadata that documents must meet, such as \"style = 'noto'\"; none by default.",
        json_schema_extra=MEANING,
    )


class TopOptions(SelectionOptions):
    pass


class RandomOptions(SelectionOptions):
    pool: int = Field(
        32, ge=1, le=4096, description="Hits of each query among which documents are drawn.", json_schema_extra=MEANING
    )


class MMROptions(SelectionOptions):
    candidates: int = Field(32, ge=1, le=4096, description="Hits to ask of the bank per query.", json_schema_extra=MEANING)
    balance: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Lambda: 1 looks at relevance alone, 0 (after the first document) at diversity alone.",
        json_schema_extra=MEANING,
    )


class CM3LeonOptions(SelectionOptions):
    candidates: int = Field(32, ge=1, le=4096, description="Hits to ask of the bank per query.", json_schema_extra=MEANING)
    per_query: int = Field(
        16,
        ge=1,
        le=16,
        description="The most documents by one query; CM3Leon gathers two by the text and two by the picture.",
        json_schema_extra=MEANING,
    )
    choose: Literal["best", "random"] = Field(
        "best",
        description=(
            "Which of them to take: the best, or `documents` at random of all that `per_query` lets through. CM3Leon trains "
            "with three of its four."
        ),
        json_schema_extra=MEANING,
    )
    score_cap: float = Field(
        0.9,
        ge=-1,
        le=1,
        description="Documents whose inner product with the query is above this are too close, and skipped; 1 skips none.",
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
