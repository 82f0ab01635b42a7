"""What a model and its caches take, and the sentence for a machine that has not so much."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from calumma.errors import FailedError
from calumma.interfaces import Device, Dtype, Footprint
from calumma_plugins.cm3leon.config import ModelConfig


def footprint_of(config: ModelConfig, dtype: Dtype, *, quantised: bool = False) -> Footprint:
    """Of a model in this precision; quantised, its blocks take one byte a number and a float32 scale a row."""
    bytes_each = torch.empty(0, dtype=getattr(torch, dtype)).element_size()
    block = (4 + 2 * config.ffn) * config.width**2
    rows = (5 + config.ffn) * config.width  # of the four matrices of a block
    blocks = config.layers * (block + 4 * rows if quantised else block * bytes_each)
    rest = (config.parameters - config.layers * block) * bytes_each
    cached = (2 * config.layers + 1) * config.width * bytes_each  # keys, values, and what the head reads
    flops = 2 * (config.layers * block + config.vocabulary.size * config.width)
    return Footprint(config.parameters, blocks + rest, cached, flops)


@contextmanager
def room_for(config: ModelConfig, dtype: Dtype, device: Device, rows: int = 0, capacity: int = 0) -> Iterator[None]:
    """Turns running out of memory into a sentence with the numbers. Raises FailedError."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and "allocate memory" not in str(error):
            raise
        one = footprint_of(config, dtype)
        cache = rows * capacity * one.cache_bytes
        what = f"{one.parameters / 1e6:,.0f} M parameters take {one.weight_bytes / 2**30:,.1f} GiB in {dtype}"
        if cache:
            what += f", and the cache of {rows} rows of {capacity} ids {cache / 2**30:,.1f} GiB more"
        raise FailedError(
            f"There is not enough memory on {device}: {what}.",
            "Ask for fewer pictures at once, take bfloat16 or a smaller decoder; calumma estimate says what fits.",
        ) from error
