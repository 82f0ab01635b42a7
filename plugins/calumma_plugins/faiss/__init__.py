"""Any FAISS index (Douze et al. 2024, arXiv:2401.08281), by its factory string."""

from __future__ import annotations

from collections.abc import Iterator

from calumma.extension import ComponentSpec, hookimpl


@hookimpl
def calumma_components() -> Iterator[ComponentSpec]:
    yield ComponentSpec(
        kind="retriever",
        name="faiss/index",
        summary="Any FAISS index by its factory string, from Flat to IVF256,PQ64.",
        target="calumma_plugins.faiss.index:FaissIndex",
        options="calumma_plugins.faiss.options:FaissOptions",
        requires=("faiss",),
        install="calumma[faiss]",
        capabilities={"deletes": True, "filters": True, "grows": True, "maps memory": True},  # of Flat, the default
        links={"paper": "https://arxiv.org/abs/2401.08281", "project": "https://github.com/facebookresearch/faiss"},
    )
