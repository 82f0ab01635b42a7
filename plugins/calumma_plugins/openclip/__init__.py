"""CLIP embedders (Radford et al. 2021, arXiv:2103.00020) through open_clip."""

from __future__ import annotations

from collections.abc import Iterator

from calumma.extension import ComponentSpec, hookimpl


@hookimpl
def calumma_components() -> Iterator[ComponentSpec]:
    yield ComponentSpec(
        kind="embedder",
        name="openclip/clip",
        summary="Any CLIP of open_clip: by model and pretrained tag, or from a local file.",
        target="calumma_plugins.openclip.clip:CLIP",
        options="calumma_plugins.openclip.options:CLIPOptions",
        requires=("open_clip", "torchvision"),
        install="calumma[openclip]",
        assets=("weights",),
        example="calumma_plugins.openclip.example:tiny",
        links={"paper": "https://arxiv.org/abs/2103.00020", "project": "https://github.com/mlfoundations/open_clip"},
    )
