"""Options of the samplers and of the rules."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic.config import JsonDict

from calumma.interfaces import Options, Part

MEANING: JsonDict = {"meaning": True}


class GuidanceOptions(Options):
    weight: float = Field(3.0, ge=0, le=100, description="1 is off, 0 ignores the prompt.", json_schema_extra=MEANING)


class ScheduledGuidanceOptions(Options):
    weight: float = Field(
        3.0, ge=0, le=100, description="The weight that is reached; 1 is off, 0 ignores the prompt.", json_schema_extra=MEANING
    )
    start: float = Field(1.0, ge=0, le=100, description="The weight of the first id.", json_schema_extra=MEANING)
    schedule: Literal["constant", "linear", "cosine"] = Field(
        "linear", description="How it goes from `start` to `weight`; constant: `weight` throughout.", json_schema_extra=MEANING
    )
    length: int = Field(
        1024,
        ge=1,
        le=1 << 20,
        description="Over how many ids; a picture has h x w.",
        json_schema_extra=MEANING,
    )
    begin: int = Field(0, ge=0, le=1 << 20, description="The first id that is guided, from 0.", json_schema_extra=MEANING)
    end: int | None = Field(
        None,
        ge=1,
        le=1 << 20,
        description="The first id behind them; none: guided to the end.",
        json_schema_extra=MEANING,
    )

    @model_validator(mode="after")
    def _guides_something(self) -> Self:
        if self.end is not None and self.end <= self.begin:
            raise ValueError(f"no id is guided from {self.begin} to before {self.end}; let `end` be more than `begin`")
        return self


class EditGuidanceOptions(Options):
    """Defaults: those of metaseq's demo for edits."""

    image_weight: float = Field(
        1.2, ge=0, le=100, description="How closely to follow the given picture; 1 is off.", json_schema_extra=MEANING
    )
    text_weight: float = Field(
        7.5, ge=0, le=100, description="How closely to follow the instruction; 1 is off.", json_schema_extra=MEANING
    )


class ContrastiveOptions(Options):
    """Defaults: those of a script of metaseq; the paper prints none."""

    alpha: float = Field(
        0.5,
        ge=0,
        le=1,
        description="The share of the k-th likeliest's chance that an id needs; 0: any.",
        json_schema_extra=MEANING,
    )
    k: int = Field(
        1,
        ge=1,
        le=1 << 24,
        description="1: contrastive decoding; more: CD-K, more to draw from.",
        json_schema_extra=MEANING,
    )
    amateur_temperature: float = Field(
        0.5, ge=0.01, le=100, description="Divides the unconditional logits.", json_schema_extra=MEANING
    )


class TemperatureOptions(Options):
    temperature: float = Field(1.0, ge=0, le=100, description="Divides the logits; 0 is greedy.", json_schema_extra=MEANING)


class TopKOptions(Options):
    k: int = Field(
        256, ge=1, le=1 << 24, description="How many ids to keep, and all that tie with the last.", json_schema_extra=MEANING
    )


class TopPOptions(Options):
    p: float = Field(0.9, gt=0, le=1, description="The mass that the kept ids hold at least.", json_schema_extra=MEANING)


class MinPOptions(Options):
    min_p: float = Field(
        0.1, ge=0, le=1, description="How likely an id must be, as a share of the likeliest; 0: any.", json_schema_extra=MEANING
    )


class NucleusOptions(Options):
    """Defaults: those of metaseq's demo for pictures; near-greedy and unguided for texts."""

    temperature: float = Field(1.0, ge=0, le=100, description="Images: temperature; 0: greedy.", json_schema_extra=MEANING)
    top_k: int | None = Field(
        None, ge=1, le=1 << 24, description="Images: how many ids to keep; none: all.", json_schema_extra=MEANING
    )
    top_p: float = Field(0.9, gt=0, le=1, description="Images: mass of the nucleus; 1: all.", json_schema_extra=MEANING)
    guidance: float = Field(3.0, ge=0, le=100, description="Images: guidance weight; 1 is off.", json_schema_extra=MEANING)
    text_temperature: float = Field(0.2, ge=0, le=100, description="Texts: temperature; 0: greedy.", json_schema_extra=MEANING)
    text_top_k: int | None = Field(
        None, ge=1, le=1 << 24, description="Texts: how many ids to keep; none: all.", json_schema_extra=MEANING
    )
    text_top_p: float = Field(0.9, gt=0, le=1, description="Texts: mass of the nucleus; 1: all.", json_schema_extra=MEANING)
    text_guidance: float = Field(1.0, ge=0, le=100, description="Texts: guidance weight; 1 is off.", json_schema_extra=MEANING)
    rules: list[Part] = Field(
        default_factory=list,
        max_length=32,
        description="More rules, after guidance and before temperature and truncation, for pictures and texts.",
        json_schema_extra={"kind": "rule"},
    )


class JacobiOptions(NucleusOptions):
    window: int = Field(
        16, ge=1, le=1024, description="How many ids go through the decoder at once; 1 drafts none.", json_schema_extra=MEANING
    )
    coupled: bool = Field(
        True,
        description="Keep drafts that the new distribution allows, instead of drawing all behind a rejected one anew.",
        json_schema_extra=MEANING,
    )


def _halves() -> list[Part]:
    cd_k = {"use": "sampling/contrastive", "k": 16}
    return [Part("sampling/nucleus"), Part({"use": "sampling/nucleus", "guidance": 1.0, "top_p": 1.0, "rules": [cd_k]})]


class MixtureOptions(Options):
    """Defaults: nucleus sampling and CD-K, half of each, as CM3Leon draws many samples of one prompt."""

    parts: list[Part] = Field(
        default_factory=_halves,
        min_length=1,
        max_length=16,
        description="The samplers that share the samples: names, ids, or {use: id, ...}.",
        json_schema_extra={"kind": "sampler"},
    )
    shares: list[Annotated[float, Field(ge=0, le=1000)]] | None = Field(
        None,
        max_length=16,
        description="How much of the samples each draws, in their order; by default all draw as many.",
        json_schema_extra=MEANING,
    )

    @model_validator(mode="after")
    def _one_share_each(self) -> Self:
        if self.shares is not None and len(self.shares) != len(self.parts):
            raise ValueError(f"there are {len(self.shares)} shares for {len(self.parts)} parts")
        if self.shares is not None and not sum(self.shares) > 0:
            raise ValueError("all shares are 0; let one be more")
        return self
