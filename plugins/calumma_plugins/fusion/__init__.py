"""Several retrievers asked as one, their answers joined by rank (Cormack, Clarke and Buettcher 2009)."""

from __future__ import annotations

from collections.abc import Iterator

from calumma.extension import ComponentSpec, hookimpl


@hookimpl
def calumma_components() -> Iterator[ComponentSpec]:
    yield ComponentSpec(
        kind="retriever",
        name="fusion/rrf",
        summary="Reciprocal rank fusion of several retrievers, such as one by vectors and one by words.",
        target="calumma_plugins.fusion.rrf:RRF",
        options="calumma_plugins.fusion.options:RRFOptions",
        install="calumma",
        capabilities={"deletes": True, "filters": True, "grows": True, "maps memory": True},
        example="calumma_plugins.fusion.example:two_exact",
        links={"paper": "https://doi.org/10.1145/1571941.1572114"},
    )
