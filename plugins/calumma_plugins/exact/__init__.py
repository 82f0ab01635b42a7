"""The true maximum inner product, by looking at every vector."""

from __future__ import annotations

from collections.abc import Iterator

from calumma.extension import ComponentSpec, hookimpl


@hookimpl
def calumma_components() -> Iterator[ComponentSpec]:
    yield ComponentSpec(
        kind="retriever",
        name="exact/flat",
        summary="Exact maximum inner product over all vectors; what other engines are measured against.",
        target="calumma_plugins.exact.flat:Flat",
        options="calumma_plugins.exact.options:FlatOptions",
        install="calumma",
        capabilities={"deletes": True, "filters": True, "grows": True, "maps memory": True, "exact": True},
    )
