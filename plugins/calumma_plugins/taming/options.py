"""Options of taming/vqgan."""

from __future__ import annotations

from pydantic import Field

from calumma.interfaces import Asset, Options


class VQGANOptions(Options):
    weights: Asset = Field(description="The state dict: .safetensors, or a Lightning .ckpt as CompVis publish them.")
    config: Asset | None = Field(
        None,
        description="The taming-style YAML of the model; not needed where the safetensors header holds `config` as JSON.",
    )
    remap: Asset | None = Field(
        None,
        description="The .npy of the codes that are used, where the VQGAN was remapped to them; ids are places in that list.",
    )
