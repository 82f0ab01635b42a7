"""Options of faiss/index."""

from __future__ import annotations

from pydantic import Field, JsonValue

from calumma.interfaces import Options

FACTORIES: list[JsonValue] = [  # what `bank tune` tries; FAISS wants at least 39 documents for each list of an IVF index
    "Flat",
    "HNSW32",
    {"value": "IVF64,Flat", "from": 39 * 64, "to": 50_000},
    {"value": "IVF256,Flat", "from": 39 * 256, "to": 400_000},
    {"value": "IVF256,SQ8", "from": 39 * 256, "to": 400_000},
    {"value": "IVF1024,Flat", "from": 39 * 1024},
    {"value": "IVF1024,SQ8", "from": 39 * 1024},
    {"value": "IVF4096,Flat", "from": 39 * 4096},
    {"value": "IVF4096,SQ8", "from": 39 * 4096},
]


class FaissOptions(Options):
    factory: str = Field(
        "Flat",
        min_length=1,
        max_length=200,
        description="FAISS's factory string, such as Flat, HNSW32, IVF256,Flat or IVF256,PQ64.",
        json_schema_extra={"meaning": True, "tune": FACTORIES},
    )
    train_size: int | None = Field(
        None,
        ge=1,
        le=100_000_000,
        description="Rows to learn from at the most; none: what the factory wants, which is 256 for each list of an IVF index.",
        json_schema_extra={"meaning": True},
    )
    ef_construction: int | None = Field(
        None,
        ge=1,
        le=100_000,
        description="Candidates that are looked at while an HNSW index is built; more find more and take longer to build.",
        json_schema_extra={"meaning": True},
    )
    build_threads: int = Field(
        1,
        ge=1,
        le=1024,
        description="Threads that train and add. More than one build faster, and no two graphs of an HNSW index alike.",
        json_schema_extra={"meaning": True},
    )
    nprobe: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="Lists of an IVF index that a search visits; more find more and take longer.",
        json_schema_extra={
            "meaning": True,
            "search": True,
            "tune": [1, 4, 16, 64, {"value": 256, "from": 100_000}],
            "tune_where": {"factory": "IVF"},
        },
    )
    ef_search: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="Candidates that a search of an HNSW index keeps; more find more and take longer.",
        json_schema_extra={"meaning": True, "search": True, "tune": [32, 64, 128, 256, 512], "tune_where": {"factory": "HNSW"}},
    )
    map_memory: bool = Field(
        False,
        description="Leave an opened index on disk and read what a search touches; the first change loads it.",
        json_schema_extra={"search": True},
    )
