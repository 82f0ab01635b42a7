"""Options of faiss/index."""

from __future__ import annotations

from pydantic import Field

from calumma.interfaces import Options


class FaissOptions(Options):
    factory: str = Field(
        "Flat",
        min_length=1,
        max_length=200,
        description="FAISS's factory string, such as Flat, HNSW32, IVF256,Flat or IVF256,PQ64.",
        json_schema_extra={"meaning": True},
    )
    nprobe: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="Lists of an IVF index that a search visits; more find more and take longer.",
        json_schema_extra={"meaning": True, "search": True},
    )
    ef_search: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="Candidates that a search of an HNSW index keeps; more find more and take longer.",
        json_schema_extra={"meaning": True, "search": True},
    )
