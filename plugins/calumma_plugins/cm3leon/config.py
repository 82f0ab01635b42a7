"""Sizes of the decoder: CM3Leon's three by name (arXiv:2309.02591, table 3), and any other by numbers."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from calumma.documents import Vocabulary

SizeName = Literal["350m", "760m", "7b"]
SIZES: dict[str, dict[str, int]] = {
    "350m": {"layers": 24, "width": 1024, "heads": 16},
    "760m": {"layers": 24, "width": 1536, "heads": 16},
    "7b": {"layers": 32, "width": 4096, "heads": 32},
}


class ModelConfig(BaseModel):
    """All that says which model a file of weights holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    layers: int = Field(ge=1, le=256, description="Number of transformer blocks.")
    width: int = Field(ge=2, le=65536, description="Width of the residual stream.")
    heads: int = Field(ge=1, le=1024, description="Attention heads; they divide the width.")
    ffn: int = Field(default=4, ge=1, le=32, description="Width of the feed-forward layer, in multiples of the width.")
    context: int = Field(default=4096, ge=8, le=1 << 20, description="The most ids in one sequence.")
    text_size: int = Field(ge=1, le=1 << 24, description="Number of text ids.")
    codebook_size: int = Field(ge=1, le=1 << 24, description="Number of codes of the image tokenizer.")
    tied: bool = Field(default=True, description="Whether the output layer is the transposed embedding.")
    init_std: float = Field(
        default=0.006, gt=0, le=1, description="Standard deviation of weights at the start, cut at 3 sigma."
    )
    position_std: float = Field(default=0.0002, gt=0, le=1, description="Standard deviation of positions at the start.")

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> ModelConfig:
        if self.width % self.heads:
            raise ValueError(f"{self.heads} heads do not divide a width of {self.width}")
        return self

    @classmethod
    def named(cls, size: SizeName, *, text_size: int, codebook_size: int, **changes: Any) -> ModelConfig:
        """One of the paper's sizes over a vocabulary; `changes` override single fields."""
        return cls(**{**SIZES[size], "text_size": text_size, "codebook_size": codebook_size, **changes})

    @property
    def vocabulary(self) -> Vocabulary:
        """The ids that the model reads and predicts."""
        return Vocabulary(self.text_size, self.codebook_size)

    @property
    def parameters(self) -> int:
        """Number of learned numbers; a block has 4 + 2 ffn matrices of width x width."""
        embeddings = self.vocabulary.size * self.width * (1 if self.tied else 2)
        return embeddings + self.context * self.width + self.layers * (4 + 2 * self.ffn) * self.width**2
