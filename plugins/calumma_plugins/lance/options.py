"""Options of lance/ivf."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from calumma.interfaces import Options


class LanceOptions(Options):
    index: Literal["IVF_PQ", "IVF_HNSW_SQ", "IVF_FLAT"] = Field(
        "IVF_PQ",
        description="What a partition holds: product-quantised vectors (least to read), a graph of neighbours over 8-bit "
        "vectors, or the vectors themselves.",
        json_schema_extra={"meaning": True, "tune": [{"value": one, "from": 4096} for one in ("IVF_PQ", "IVF_HNSW_SQ")]},
    )
    index_from: int = Field(
        4096,
        ge=256,
        le=1_000_000_000,
        description="Rows from which on there is an index; fewer are all looked at, exactly.",
        json_schema_extra={"meaning": True},
    )
    num_partitions: int | None = Field(
        None,
        ge=1,
        le=65_536,
        description="Partitions of the vectors; by default the square root of the number of rows, at most 4,096.",
        json_schema_extra={"meaning": True},
    )
    num_sub_vectors: int | None = Field(
        None,
        ge=1,
        le=4096,
        description="Bytes that IVF_PQ keeps of a vector; divides the dimension. By default an eighth of it.",
        json_schema_extra={"meaning": True},
    )
    nprobes: int = Field(
        20,
        ge=1,
        le=65_536,
        description="Partitions that a search reads; more find more and take longer.",
        json_schema_extra={"meaning": True, "search": True, "tune": [{"value": one, "from": 4096} for one in (5, 20, 80)]},
    )
    refine_factor: int = Field(
        10,
        ge=1,
        le=1000,
        description="A search of compressed vectors reads this many times k whole vectors and scores those exactly.",
        json_schema_extra={
            "meaning": True,
            "search": True,
            "tune": [{"value": one, "from": 4096} for one in (1, 10)],
            "tune_where": {"index": "IVF_PQ"},
        },
    )
    ef: int = Field(
        100,
        ge=1,
        le=100_000,
        description="Candidates that a search of IVF_HNSW_SQ keeps in each partition; more find more and take longer.",
        json_schema_extra={
            "meaning": True,
            "search": True,
            "tune": [{"value": one, "from": 4096} for one in (100, 300)],
            "tune_where": {"index": "HNSW"},
        },
    )
    cache_mib: int = Field(
        512, ge=1, le=1_048_576, description="MiB of the index that may stay in memory; what is left out is read again."
    )
