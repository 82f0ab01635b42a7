"""Weights in 8 bits, by torchao."""

from __future__ import annotations

from calumma.errors import ComponentError
from calumma_plugins.cm3leon.model import Transformer


def quantize(model: Transformer) -> None:
    """Turns the matrices of the blocks into int8 with one scale a row; embeddings and positions stay. Needs torchao."""
    try:
        from torchao.quantization import Int8WeightOnlyConfig, quantize_
    except ImportError as error:
        raise ComponentError("quantize: int8 needs torchao.", "pip install 'calumma[torchao]'") from error
    quantize_(model, Int8WeightOnlyConfig())
