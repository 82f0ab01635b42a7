"""Options of fsq/tokenizer."""

from __future__ import annotations

from calumma.interfaces import Asset, Options
from pydantic import Field


class FSQOptions(Options):
    """What a trained tokenizer is made of stands in the header of its weights."""

    weights: Asset = Field(description="What `python -m calumma_fsq.train` wrote: a .safetensors with a config in it.")
