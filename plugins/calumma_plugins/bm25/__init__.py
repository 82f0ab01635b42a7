"""Search by words, scored by BM25 (Robertson and Zaragoza 2009), on bm25s (Lù 2024, arXiv:2407.03618)."""

from __future__ import annotations

from collections.abc import Iterator

from calumma.extension import ComponentSpec, hookimpl


@hookimpl
def calumma_components() -> Iterator[ComponentSpec]:
    yield ComponentSpec(
        kind="retriever",
        name="bm25/text",
        summary="Exact search by the words that a query shares with the texts, scored by BM25; any language.",
        target="calumma_plugins.bm25.text:BM25",
        options="calumma_plugins.bm25.options:BM25Options",
        requires=("bm25s",),
        install="calumma[bm25]",
        capabilities={"deletes": True, "filters": True, "grows": True, "maps memory": True, "exact": True},
        links={"paper": "https://arxiv.org/abs/2407.03618", "project": "https://github.com/xhluca/bm25s"},
    )
