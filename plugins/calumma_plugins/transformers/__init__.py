"""Public checkpoints in the Hugging Face format: Chameleon (arXiv:2405.09818), and Anole (arXiv:2407.06135), which draws."""

from __future__ import annotations

from collections.abc import Iterator

from calumma.extension import ComponentSpec, hookimpl

LINKS = {
    "paper": "https://arxiv.org/abs/2405.09818",
    "anole": "https://arxiv.org/abs/2407.06135",
    "project": "https://github.com/huggingface/transformers",
}


@hookimpl
def calumma_components() -> Iterator[ComponentSpec]:
    yield ComponentSpec(
        kind="decoder",
        name="transformers/chameleon",
        summary="Chameleon and Anole from a Hugging Face folder, drawing pictures as well as writing.",
        target="calumma_plugins.transformers.decoder:ChameleonDecoder",
        options="calumma_plugins.transformers.options:ChameleonOptions",
        requires=("transformers", "tokenizers"),
        install="calumma[transformers]",
        capabilities={"fork": True, "rewind": True, "train": True},
        assets=("model",),
        example="calumma_plugins.transformers.example:tiny",
        links=LINKS,
    )
    yield ComponentSpec(
        kind="image_tokenizer",
        name="transformers/chameleon-vq",
        summary="The image tokenizer inside a Chameleon folder; pixels need the VQGAN that Meta publish beside it.",
        target="calumma_plugins.transformers.vq:ChameleonVQ",
        options="calumma_plugins.transformers.options:ChameleonVQOptions",
        requires=("transformers", "taming", "einops"),
        install="calumma[transformers]",
        assets=("model", "decoder_weights"),
        example="calumma_plugins.transformers.example:tiny_vq",
        links=LINKS,
    )
    yield ComponentSpec(
        kind="text_tokenizer",
        name="transformers/tokenizer",
        summary="The text ids of a Chameleon folder's tokenizer.json; no string is special, none is a picture.",
        target="calumma_plugins.transformers.tokenizer:ChameleonTokenizer",
        options="calumma_plugins.transformers.options:ChameleonTokenizerOptions",
        requires=("tokenizers",),
        install="calumma[transformers]",
        assets=("model",),
        example="calumma_plugins.transformers.example:tiny_tokenizer",
        links=LINKS,
    )
