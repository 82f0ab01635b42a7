"""A retriever that finds nothing: the baseline without retrieval."""

from __future__ import annotations

from collections.abc import Iterator

from calumma.extension import ComponentSpec, hookimpl


@hookimpl
def calumma_components() -> Iterator[ComponentSpec]:
    yield ComponentSpec(
        kind="retriever",
        name="none/none",
        summary="Retrieves nothing.",
        target="calumma_plugins.none.none:Nothing",
        options="calumma_plugins.none.options:NothingOptions",
        install="calumma",
        capabilities={"deletes": True, "filters": True, "grows": True, "exact": True},
    )
