"""Navigable small worlds (Malkov and Yashunin 2016, arXiv:1603.09320) by usearch, which can leave its index on disk."""

from __future__ import annotations

from collections.abc import Iterator

from calumma.extension import ComponentSpec, hookimpl


@hookimpl
def calumma_components() -> Iterator[ComponentSpec]:
    """Offers usearch/index."""
    yield ComponentSpec(
        kind="retriever",
        name="usearch/index",
        summary="Approximate search in a graph of neighbours that grows, deletes, and may be mapped into memory.",
        target="calumma_usearch.index:USearch",
        options="calumma_usearch.options:USearchOptions",
        requires=("usearch",),
        install="calumma-usearch",
        capabilities={"deletes": True, "grows": True, "maps memory": True},
        links={"paper": "https://arxiv.org/abs/1603.09320", "project": "https://github.com/unum-cloud/usearch"},
    )
