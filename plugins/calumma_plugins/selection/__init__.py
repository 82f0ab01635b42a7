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
    yield ComponentSpec(
        kind="selection",
        name="selection/mmr",
        summary="Maximal marginal relevance: what is relevant and unlike what was taken before.",
        target="calumma_plugins.selection.mmr:MMRSelection",
        options="calumma_plugins.selection.options:MMROptions",
        install="calumma",
        links={"paper": "https://doi.org/10.1145/290941.291025"},
    )
    yield ComponentSpec(
        kind="selection",
        name="selection/top",
        summary="The best hits as they are.",
        target="calumma_plugins.selection.top:TopSelection",
        options="calumma_plugins.selection.options:TopOptions",
        install="calumma",
    )
    yield ComponentSpec(
        kind="selection",
        name="selection/random",
        summary="Hits at random, the control to compare the others with.",
        target="calumma_plugins.selection.at_random:RandomSelection",
        options="calumma_plugins.selection.options:RandomOptions",
        install="calumma",
    )
