"""The autoregressive decoder of CM3Leon (arXiv:2309.02591)."""

from __future__ import annotations

from collections.abc import Iterator

from calumma.extension import ComponentSpec, hookimpl


@hookimpl
def calumma_components() -> Iterator[ComponentSpec]:
    yield ComponentSpec(
        kind="decoder",
        name="cm3leon/decoder",
        summary="CM3Leon's decoder-only transformer with a key-value cache: 350M, 760M, 7B or any other size.",
        target="calumma_plugins.cm3leon.decoder:CM3LeonDecoder",
        options="calumma_plugins.cm3leon.options:CM3LeonDecoderOptions",
        requires=("torch", "safetensors"),
        install="calumma",
        capabilities={"fork": True, "rewind": True, "train": True},
        assets=("weights",),
        example="calumma_plugins.cm3leon.example:tiny",
        links={"paper": "https://arxiv.org/abs/2309.02591", "objective": "https://arxiv.org/abs/2201.07520"},
    )
