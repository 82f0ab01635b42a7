"""VQGAN image tokenizers (Esser et al. 2021, arXiv:2012.09841), as CompVis' taming-transformers trains and publishes them."""

from __future__ import annotations

from collections.abc import Iterator

from calumma.extension import ComponentSpec, hookimpl


@hookimpl
def calumma_components() -> Iterator[ComponentSpec]:
    yield ComponentSpec(
        kind="image_tokenizer",
        name="taming/vqgan",
        summary="VQGAN with CompVis state-dict names: safetensors of our own, or published Lightning checkpoints.",
        target="calumma_plugins.taming.vqgan:VQGAN",
        options="calumma_plugins.taming.options:VQGANOptions",
        requires=("taming", "einops"),
        install="calumma[taming]",
        assets=("weights", "config", "remap"),
        example="calumma_plugins.taming.example:tiny",
        links={"paper": "https://arxiv.org/abs/2012.09841", "project": "https://github.com/CompVis/taming-transformers"},
    )
