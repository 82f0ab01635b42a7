"""Hierarchical navigable small worlds (Malkov and Yashunin 2016, arXiv:1603.09320) by hnswlib."""

from __future__ import annotations

from collections.abc import Iterator

from calumma.extension import ComponentSpec, hookimpl


@hookimpl
def calumma_components() -> Iterator[ComponentSpec]:
    yield ComponentSpec(
        kind="retriever",
        name="hnswlib/hnsw",
        summary="Approximate search in a graph of neighbours: fast, grows, deletes, filters.",
        target="calumma_plugins.hnswlib.hnsw:HNSW",
        options="calumma_plugins.hnswlib.options:HNSWOptions",
        requires=("hnswlib",),
        install="calumma[hnswlib]",
        capabilities={"deletes": True, "filters": True, "grows": True},
        links={"paper": "https://arxiv.org/abs/1603.09320", "project": "https://github.com/nmslib/hnswlib"},
    )
