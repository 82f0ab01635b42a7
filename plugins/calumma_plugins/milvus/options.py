"""Options of milvus/collection."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from calumma.interfaces import Options


class MilvusOptions(Options):
    uri: str | None = Field(
        None,
        max_length=500,
        pattern=r"^https?://[^@\s]+$",
        description="Address of a Milvus cluster, as http://localhost:19530; by default Milvus Lite, in the index's folder.",
    )
    token_variable: str | None = Field(
        None,
        pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,199}$",
        description="Name of the environment variable that holds the cluster's token (USER:PASSWORD, or an API key).",
    )
    database: str = Field(
        "default", pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,254}$", description="Database of the cluster that the collections are in."
    )
    timeout: float = Field(30, ge=5, le=3600, description="Seconds to wait for an answer of the cluster.")
    index: Literal["AUTOINDEX", "FLAT", "HNSW", "IVF_FLAT"] = Field(
        "AUTOINDEX",
        description="Milvus's index of the vectors. FLAT looks at all of them; AUTOINDEX leaves it to a cluster, and is FLAT "
        "in Milvus Lite.",
        json_schema_extra={"meaning": True, "tune": ["AUTOINDEX", "HNSW", "IVF_FLAT"]},
    )
    M: int = Field(
        32,
        ge=2,
        le=2048,
        description="Neighbours that a vector keeps in HNSW; more find more and take memory.",
        json_schema_extra={"meaning": True},
    )
    ef_construction: int = Field(
        200,
        ge=8,
        le=100_000,
        description="Candidates that are looked at while HNSW is built; more find more and take longer to build.",
        json_schema_extra={"meaning": True},
    )
    nlist: int = Field(
        1024,
        ge=1,
        le=65_536,
        description="Lists that IVF_FLAT puts the vectors in.",
        json_schema_extra={"meaning": True},
    )
    ef_search: int = Field(
        64,
        ge=1,
        le=16_384,
        description="Candidates that a search of HNSW keeps; more find more and take longer.",
        json_schema_extra={"meaning": True, "search": True, "tune": [64, 128, 256], "tune_where": {"index": "HNSW"}},
    )
    nprobe: int = Field(
        32,
        ge=1,
        le=65_536,
        description="Lists of IVF_FLAT that a search visits; more find more and take longer.",
        json_schema_extra={"meaning": True, "search": True, "tune": [8, 32, 128], "tune_where": {"index": "IVF_FLAT"}},
    )
    batch: int = Field(1000, ge=1, le=16_384, description="Rows that are sent to Milvus at once.")
