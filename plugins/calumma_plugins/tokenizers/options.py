"""Options of tokenizers/bpe."""

from __future__ import annotations

from pydantic import Field

from calumma.interfaces import Asset, Options


class BPEOptions(Options):
    file: Asset = Field(description="A tokenizer.json of the `tokenizers` library: byte-level, and byte-complete.")
