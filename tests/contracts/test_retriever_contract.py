"""The contract of retrievers takes every correct one, ours among them, and names the rule that each broken one breaks."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from calumma.contracts import RetrieverContract
from calumma.contracts.samples.retriever import DotRetriever, WordRetriever
from calumma_plugins.exact.flat import Flat
from calumma_plugins.exact.products import TorchProducts

# --- correct ones ---


class TestExactFlat(RetrieverContract):
    component = "exact/flat"


class TestExactFlatInBlocks(RetrieverContract):
    component = "exact/flat"
    options: ClassVar[dict[str, Any]] = {"block": 7}


class FlatByTorch(Flat):
    """exact/flat as it computes on a GPU, here on the CPU."""

    def warm_up(self, device="cpu", dtype="float32"):
        self._products = self._products or TorchProducts("cpu")


class TestExactFlatByTorch(RetrieverContract):
    component = FlatByTorch
    options: ClassVar[dict[str, Any]] = {"block": 128}


class TestFaissFlat(RetrieverContract):
    component = "faiss/index"


class TestFaissHNSW(RetrieverContract):
    component = "faiss/index"
    options: ClassVar[dict[str, Any]] = {"factory": "HNSW16", "ef_search": 64}


class TestFaissIVF(RetrieverContract):
    component = "faiss/index"
    options: ClassVar[dict[str, Any]] = {"factory": "IVF4,Flat", "nprobe": 3}
    recall = 0.8


class TestFaissCompressed(RetrieverContract):
    component = "faiss/index"
    options: ClassVar[dict[str, Any]] = {"factory": "SQ8"}
    score_tolerance = 0.02


class TestFaissFlatMapped(RetrieverContract):
    component = "faiss/index"
    options: ClassVar[dict[str, Any]] = {"map_memory": True}


class TestFaissHNSWMapped(RetrieverContract):
    component = "faiss/index"
    options: ClassVar[dict[str, Any]] = {"factory": "HNSW16", "ef_search": 64, "map_memory": True}


class TestFaissIVFMapped(RetrieverContract):
    component = "faiss/index"
    options: ClassVar[dict[str, Any]] = {"factory": "IVF4,Flat", "nprobe": 3, "map_memory": True}
    recall = 0.8


class TestFaissThatRotatesFirst(RetrieverContract):
    component = "faiss/index"
    options: ClassVar[dict[str, Any]] = {"factory": "RR16,IVF4,SQ8", "nprobe": 4}
    score_tolerance = 0.02


class TestFaissGraphThatRotatesFirst(RetrieverContract):
    component = "faiss/index"
    options: ClassVar[dict[str, Any]] = {"factory": "RR16,HNSW16", "ef_search": 64}


class TestFaissThatCannotFilter(RetrieverContract):
    component = "faiss/index"
    options: ClassVar[dict[str, Any]] = {"factory": "PQ16x6np"}
    score_tolerance = 0.1


class TestFaissThatOnlyGrows(RetrieverContract):
    component = "faiss/index"
    options: ClassVar[dict[str, Any]] = {"factory": "SQ8,RFlat"}
    score_tolerance = 0.02


class TestHNSW(RetrieverContract):
    component = "hnswlib/hnsw"


class TestNone(RetrieverContract):
    component = "none/none"


class TestDotRetriever(RetrieverContract):
    component = DotRetriever


class TestWordRetriever(RetrieverContract):
    component = WordRetriever


class Hybrid(DotRetriever):
    """Asks for both vector and words, and adds a little for words in common."""

    accepts = frozenset({"vector", "text"})
    capabilities = frozenset()
    exact = False

    def __init__(self, options):
        super().__init__(options)
        self.words = WordRetriever(options)

    def add(self, entries):
        self.words.add(entries)
        super().add(entries)

    remove = WordRetriever.remove

    def answers(self, query):
        by_words = dict(zip(*(part.tolist() for part in self.words.answers(query)), strict=True))
        keys, scores = super().answers(query)
        return keys, scores + np.array([0.1 * by_words.get(key, 0) for key in keys.tolist()], np.float32)

    def save(self, folder):
        super().save(folder)
        self.words.save(folder)

    @classmethod
    def open(cls, folder, options):
        index = super().open(folder, options)
        index.words = WordRetriever.open(folder, options)
        return index


class TestHybrid(RetrieverContract):
    component = Hybrid
