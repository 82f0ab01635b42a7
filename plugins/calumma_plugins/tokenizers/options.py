"""Options of tokenizers/bpe."""

from __future__ import annotations

from calumma.interfaces import Asset, Options
from pydantic import Field


class BPEOptions(Options):
    file: Asset = Field(description="A tokenizer.json of the `tokenizers` library: byte-level, and byte-complete.")
