"""A collection of Milvus (Wang et al. 2021): embedded as Milvus Lite, or a cluster, where one machine ends."""

from __future__ import annotations

from collections.abc import Iterator

from calumma.extension import ComponentSpec, hookimpl


@hookimpl
def calumma_components() -> Iterator[ComponentSpec]:
    yield ComponentSpec(
        kind="retriever",
        name="milvus/collection",
        summary="A collection of Milvus: Milvus Lite in the index's folder, or a cluster by its address.",
        target="calumma_plugins.milvus.collection:MilvusCollection",
        options="calumma_plugins.milvus.options:MilvusOptions",
        requires=("pymilvus", "milvus_lite"),
        install="calumma[milvus]",
        capabilities={"deletes": True, "filters": True, "grows": True, "remote": True},
        links={"paper": "https://doi.org/10.1145/3448016.3457550", "project": "https://github.com/milvus-io/milvus"},
    )
