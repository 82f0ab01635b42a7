"""Options of hnswlib/hnsw."""

from __future__ import annotations

from pydantic import Field

from calumma.interfaces import Options


class HNSWOptions(Options):
    M: int = Field(
        32,
        ge=2,
        le=512,
        description="Neighbours that a vector keeps; more find more and take memory.",
        json_schema_extra={"meaning": True, "tune": [16, 32, 48]},
    )
    ef_construction: int = Field(
        200,
        ge=1,
        le=100_000,
        description="Candidates that are looked at while building; more find more and take longer to build.",
        json_schema_extra={"meaning": True},
    )
    ef_search: int = Field(
        64,
        ge=1,
        le=1_000_000,
        description="Candidates that a search keeps; more find more and take longer.",
        json_schema_extra={"meaning": True, "search": True, "tune": [32, 64, 128, 256, 512]},
    )
    build_threads: int = Field(
        1,
        ge=1,
        le=1024,
        description="Threads that add vectors. More than one build faster, and no two graphs alike.",
        json_schema_extra={"meaning": True},
    )
    search_threads: int | None = Field(
        None, ge=1, le=1024, description="Threads that answer a batch of queries; none: as many as hnswlib takes."
    )
