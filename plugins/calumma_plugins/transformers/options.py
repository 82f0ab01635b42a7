"""Options of the components of this plugin. All three name the same folder."""

from __future__ import annotations

from pydantic import Field

from calumma.interfaces import Asset, Options

FOLDER = "A folder in the Hugging Face format, or hf:org/repo@revision:"


class ChameleonOptions(Options):
    model: Asset = Field(description=f"{FOLDER} config.json and model*.safetensors, sharded or not.")
    end_of_turn: bool = Field(
        False,
        description="Whether <reserved08706> closes what is asked before a text is written, as chat-tuned checkpoints expect.",
        json_schema_extra={"meaning": True},
    )


class ChameleonVQOptions(Options):
    model: Asset = Field(description=f"{FOLDER} config.json and model*.safetensors, sharded or not.")
    decoder_weights: Asset | None = Field(
        None,
        description="The vqgan.ckpt that Meta publish with Chameleon, or its tensors as safetensors; without it no pixels.",
    )


class ChameleonTokenizerOptions(Options):
    model: Asset = Field(description=f"{FOLDER} tokenizer.json, or that file itself.")
