"""The kinds that the core itself defines; plugins add others by `calumma_kinds`."""

from __future__ import annotations

from calumma.extension.specs import KindSpec

BUILT_IN = tuple(
    KindSpec(
        name,
        summary,
        interface=f"calumma.interfaces:{name.title().replace('_', '')}",
        contract=contract,
        template=f"calumma.scaffold:templates/{name}.txt",
    )
    for name, summary, contract in [
        ("image_tokenizer", "Pictures to grids of codebook indices and back.", "calumma.contracts:ImageTokenizerContract"),
        ("text_tokenizer", "Texts to ids and back.", "calumma.contracts:TextTokenizerContract"),
        ("embedder", "Texts, pictures and documents to vectors of one space.", "calumma.contracts:EmbedderContract"),
        ("retriever", "An index over a bank's vectors or texts.", "calumma.contracts:RetrieverContract"),
        ("selection", "What to ask of a bank, then which of the answers to take.", "calumma.contracts:SelectionContract"),
        ("decoder", "The autoregressive model over text and image ids.", "calumma.contracts:DecoderContract"),
        ("sampler", "The loop that fills holes.", "calumma.contracts:SamplerContract"),
        ("rule", "One step from logits to the distribution that is drawn from.", "calumma.contracts:RuleContract"),
    ]
)
