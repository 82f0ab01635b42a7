"""What every retriever keeps to, opened into memory or mapped."""

from __future__ import annotations

from typing import ClassVar

from calumma.contracts import RetrieverContract


class TestUSearch(RetrieverContract):
    component = "usearch/index"


class TestMapped(RetrieverContract):
    component = "usearch/index"
    options: ClassVar = {"map_memory": True}


class TestHalf(RetrieverContract):
    component = "usearch/index"
    options: ClassVar = {"scalar": "float16"}
    score_tolerance = 2e-3
