"""A Lance data set with Lance's vector index: for banks that are larger than memory."""

from __future__ import annotations

from collections.abc import Iterator

from calumma.extension import ComponentSpec, hookimpl


@hookimpl
def calumma_components() -> Iterator[ComponentSpec]:
    yield ComponentSpec(
        kind="retriever",
        name="lance/ivf",
        summary="Approximate search that reads from disk what it needs: for banks that are larger than memory.",
        target="calumma_plugins.lance.ivf:LanceIVF",
        options="calumma_plugins.lance.options:LanceOptions",
        requires=("lance", "pyarrow"),
        install="calumma[lance]",
        capabilities={"deletes": True, "filters": True, "grows": True, "maps memory": True},
        links={"paper": "https://doi.org/10.1109/TPAMI.2010.57", "project": "https://github.com/lance-format/lance"},
    )
