"""Finite scalar quantization (Mentzer et al. 2023, arXiv:2309.15505) by vector-quantize-pytorch."""

from __future__ import annotations

from collections.abc import Iterator

from calumma.extension import ComponentSpec, hookimpl


@hookimpl
def calumma_components() -> Iterator[ComponentSpec]:
    """Offers fsq/tokenizer."""
    yield ComponentSpec(
        kind="image_tokenizer",
        name="fsq/tokenizer",
        summary="A small autoencoder with finite scalar quantization: no codebook to learn, none to collapse.",
        target="calumma_fsq.tokenizer:FSQTokenizer",
        options="calumma_fsq.options:FSQOptions",
        requires=("vector_quantize_pytorch",),
        install="calumma-fsq",
        assets=("weights",),
        example="calumma_fsq.weights:example",
        links={
            "paper": "https://arxiv.org/abs/2309.15505",
            "project": "https://github.com/lucidrains/vector-quantize-pytorch",
        },
    )
