"""What a tokenizer is made of: read from the header of its weights before any tensor is."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Annotated, Literal

from calumma.errors import AssetError
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from safetensors import SafetensorError, safe_open

KEY = "config"  # in the metadata of the file
Level = Annotated[int, Field(ge=3, le=64)]


class FSQConfig(BaseModel):
    """The architecture. Ids are 0 <= id < the product of the levels."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    levels: tuple[Level, ...] = Field(
        (8, 5, 5, 5), min_length=1, max_length=8, description="Values per channel of a code."
    )
    factor: Literal[4, 8] = Field(8, description="Pixels per code, along each side.")
    resolution: int = Field(64, ge=8, le=1024, description="Side of the pictures it is trained on.")
    width: int = Field(
        32, ge=8, le=512, multiple_of=8, description="Channels of the widest maps; each halving doubles them."
    )

    @model_validator(mode="after")
    def _sizes_fit(self) -> FSQConfig:
        if self.resolution % self.factor:
            raise ValueError(f"a resolution of {self.resolution} is no multiple of {self.factor}, the factor")
        if self.codebook_size > 2**20:
            raise ValueError(f"{self.codebook_size} codes are more than {2**20}")
        return self

    @property
    def codebook_size(self) -> int:
        """How many codes there are."""
        return prod(self.levels)

    @classmethod
    def read(cls, weights: Path) -> FSQConfig:
        """The config in the header of a file of weights. Raises AssetError where there is none."""
        fix = "Give weights that `python -m calumma_fsq.train` wrote."
        try:
            with safe_open(weights, framework="numpy") as file:
                header = file.metadata() or {}
        except (OSError, SafetensorError) as error:
            raise AssetError(f"{weights} is not a readable safetensors file.", fix) from error
        if KEY not in header:
            raise AssetError(f"The header of {weights} has no `{KEY}`.", fix)
        try:
            return cls.model_validate_json(header[KEY])
        except ValidationError as error:
            raise AssetError(
                f"{weights} does not describe an FSQ tokenizer: {error.errors()[0]['msg']}.", fix
            ) from error
