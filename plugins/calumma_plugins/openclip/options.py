"""Options of openclip/clip."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from calumma.interfaces import Asset, Options

MEANING: dict[str, Any] = {"meaning": True}


class CLIPOptions(Options):
    model: str | None = Field(
        None,
        min_length=1,
        max_length=200,
        description="Name of the architecture in open_clip, such as ViT-B-32; not needed where `weights` say it themselves.",
        json_schema_extra=MEANING,
    )
    pretrained: str | None = Field(
        None,
        min_length=1,
        max_length=200,
        description="Tag of published weights for `model`, such as laion2b_s34b_b79k; fetched by open_clip once.",
        json_schema_extra=MEANING,
    )
    weights: Asset | None = Field(
        None, description="A local file of weights: .safetensors (its header may hold `config`), or a .pt for `model`."
    )
    batch_size: int = Field(64, ge=1, le=4096, description="How many texts or pictures are embedded at once.")

    @model_validator(mode="after")
    def _one_source_of_weights(self) -> CLIPOptions:
        if (self.pretrained is None) == (self.weights is None):
            raise ValueError("give either `weights`, or `model` and `pretrained`")
        if self.pretrained is not None and self.model is None:
            raise ValueError("`pretrained` needs `model`, such as ViT-B-32")
        return self
