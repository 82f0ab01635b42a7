"""Which of the found documents to lay before a prompt."""

from __future__ import annotations

from collections.abc import Iterator

from calumma.extension import ComponentSpec, hookimpl


@hookimpl
def calumma_components() -> Iterator[ComponentSpec]:
    yield ComponentSpec(
        kind="selection",
        name="selection/cm3leon",
        summary="CM3Leon's: relevance, modality, diversity, query dropout.",
        target="calumma_plugins.selection.cm3leon:CM3LeonSelection",
        options="calumma_plugins.selection.options:CM3LeonOptions",
        install="calumma",
        links={"paper": "https://arxiv.org/abs/2309.02591"},
    )
