"""Options of exact/flat."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from calumma.interfaces import Options


class FlatOptions(Options):
    block: int = Field(65536, ge=1, le=10_000_000, description="Rows that are scored at once; bounds the memory of a search.")
    device: Literal["cpu", "cuda", "auto"] = Field(
        "cpu",
        description="Where inner products are computed: cpu by NumPy; cuda by torch, which keeps the vectors there; auto where "
        "the pipeline runs. The answers are the same.",
    )
