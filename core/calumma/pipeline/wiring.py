"""Do these parts belong together? Worked out from fingerprints, dimensions and capabilities; no weights are loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from calumma.documents import Layout
from calumma.errors import ComponentError
from calumma.interfaces import Component, Decoder, Embedder, ImageTokenizer, Retriever, Sampler, Selection, TextTokenizer

if TYPE_CHECKING:
    from calumma.bank import Bank


def check_wiring(slots: Mapping[str, Component], bank: Bank | None) -> Layout:
    """The layout that decoder and tokenizers agree on. Raises MismatchError or ComponentError, naming what would mend it."""
    retriever, embedder = slots["retriever"], slots["embedder"]
    assert isinstance(retriever, Retriever)
    assert isinstance(embedder, Embedder)
    if retriever.accepts and bank is None:
        raise ComponentError(
            f"The retriever {retriever.id} needs a bank to search, and the pipeline names none.",
            "Name one (--bank NAME), or retrieve nothing (--swap retriever=none).",
        )
    if retriever.accepts and bank is not None:
        bank.check_embedder(embedder)
    selection = slots["selection"]
    assert isinstance(selection, Selection)
    if selection.filters and retriever.accepts and "filters" not in retriever.capabilities:
        raise ComponentError(
            f"The selection {selection.id} filters by metadata, and the retriever {retriever.id} cannot.",
            "Leave its `where` out, or swap in a retriever that filters (`calumma plugins list` shows which).",
        )
    decoder, text, image = slots["decoder"], slots["text_tokenizer"], slots["image_tokenizer"]
    assert isinstance(decoder, Decoder)
    assert isinstance(text, TextTokenizer)
    assert isinstance(image, ImageTokenizer)
    sampler = slots["sampler"]
    assert isinstance(sampler, Sampler)
    lacking = sorted(sampler.needs - decoder.capabilities)
    if lacking:
        raise ComponentError(
            f"The sampler {sampler.id} needs a decoder that can {' and '.join(lacking)}, and {decoder.id} cannot.",
            "Swap in another sampler (--swap sampler=nucleus), or a decoder that can.",
        )
    return decoder.layout(text, image)
