"""Options of cm3leon/decoder."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator
from pydantic.config import JsonDict

from calumma.interfaces import Asset, Options
from calumma_plugins.cm3leon.config import SIZES, ModelConfig, SizeName

MEANING: JsonDict = {"meaning": True}


class CM3LeonDecoderOptions(Options):
    """A file of weights, which says its own sizes; or sizes and a seed, for a model that has learned nothing yet."""

    weights: Asset | None = Field(None, description="safetensors with `config` (JSON) in its header, as training writes it.")
    size: SizeName | None = Field(None, description="One of the paper's sizes, without weights.", json_schema_extra=MEANING)
    layers: int | None = Field(None, ge=1, le=256, description="Blocks, instead of `size`.", json_schema_extra=MEANING)
    width: int | None = Field(None, ge=2, le=65536, description="Width, instead of `size`.", json_schema_extra=MEANING)
    heads: int | None = Field(None, ge=1, le=1024, description="Heads, instead of `size`.", json_schema_extra=MEANING)
    ffn: int = Field(4, ge=1, le=32, description="Feed-forward width in widths, without weights.", json_schema_extra=MEANING)
    context: int = Field(4096, ge=8, le=1 << 20, description="Most ids in a row, without weights.", json_schema_extra=MEANING)
    text_size: int = Field(56320, ge=1, le=1 << 24, description="Text ids, without weights.", json_schema_extra=MEANING)
    codebook_size: int = Field(8192, ge=1, le=1 << 24, description="Image ids, without weights.", json_schema_extra=MEANING)
    tied: bool = Field(True, description="One matrix for input and output, without weights.", json_schema_extra=MEANING)
    init_std: float = Field(0.006, gt=0, le=1, description="Spread of random weights.", json_schema_extra=MEANING)
    seed: int = Field(0, ge=0, lt=1 << 63, description="Seed of random weights.", json_schema_extra=MEANING)

    compile: bool = Field(False, description="Compile the step of decoding; needs a C++ compiler. Gains nothing on a CPU.")
    quantize: Literal["int8"] | None = Field(
        None, description="Keep the weights of the blocks in 8 bits; needs torchao.", json_schema_extra=MEANING
    )

    @model_validator(mode="after")
    def _weights_or_sizes(self) -> CM3LeonDecoderOptions:
        numbers = [self.layers, self.width, self.heads]
        told = (self.weights is not None) + (self.size is not None) + any(number is not None for number in numbers)
        if told != 1:
            raise ValueError("give weights, or size, or layers, width and heads: one of the three")
        if any(numbers) and not all(numbers):
            raise ValueError("layers, width and heads belong together")
        others = sorted(self.model_fields_set - {"weights", "compile", "quantize"})
        if self.weights is not None and others:
            raise ValueError(f"{', '.join(others)} cannot be set beside weights, whose header says the sizes")
        if self.weights is None:
            self.config()
        return self

    def config(self) -> ModelConfig:
        """The sizes of the model without weights. Raises ValueError where they do not fit together."""
        sizes = SIZES[self.size] if self.size else {"layers": self.layers, "width": self.width, "heads": self.heads}
        shared = self.model_dump(include={"ffn", "context", "text_size", "codebook_size", "tied", "init_std"})
        return ModelConfig.model_validate({**sizes, **shared})
