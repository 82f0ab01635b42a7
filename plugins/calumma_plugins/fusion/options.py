"""Options of fusion/rrf."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from calumma.interfaces import Options, Part


class RRFOptions(Options):
    retrievers: list[Part] = Field(
        min_length=1,
        max_length=16,
        description="The retrievers that are asked: names, ids, or {use: id, ...}.",
        json_schema_extra={"kind": "retriever"},
    )
    weights: list[Annotated[float, Field(ge=0, le=1000)]] | None = Field(
        None,
        max_length=16,
        description="How much each retriever counts, in their order; by default all count 1.",
        json_schema_extra={"meaning": True, "search": True},
    )
    k_constant: float = Field(
        60,
        ge=0,
        le=10_000,
        description="The paper's k: a rank counts 1 / (k + rank), so that more evens out the first ranks.",
        json_schema_extra={"meaning": True, "search": True},
    )
    depth: int = Field(
        100,
        ge=1,
        le=16_384,
        description="How many documents each retriever is asked for, at the least; more find more that no one ranks high.",
        json_schema_extra={"meaning": True, "search": True},
    )

    @model_validator(mode="after")
    def _one_weight_each(self) -> Self:
        if self.weights is not None and len(self.weights) != len(self.retrievers):
            raise ValueError(f"there are {len(self.weights)} weights for {len(self.retrievers)} retrievers")
        return self
