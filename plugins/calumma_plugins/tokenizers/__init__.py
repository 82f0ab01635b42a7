"""Text tokenizers in the file format of Hugging Face `tokenizers`."""

from __future__ import annotations

from collections.abc import Iterator

from calumma.extension import ComponentSpec, hookimpl


@hookimpl
def calumma_components() -> Iterator[ComponentSpec]:
    yield ComponentSpec(
        kind="text_tokenizer",
        name="tokenizers/bpe",
        summary="Byte-level BPE from a tokenizer.json; every string is encodable, no string is special.",
        target="calumma_plugins.tokenizers.bpe:BPE",
        options="calumma_plugins.tokenizers.options:BPEOptions",
        requires=("tokenizers",),
        install="calumma[tokenizers]",
        assets=("file",),
        example="calumma_plugins.tokenizers.example:tiny",
        links={"paper": "https://arxiv.org/abs/1508.07909", "project": "https://github.com/huggingface/tokenizers"},
    )
