"""Options of sampling/nucleus and of the rules."""

from __future__ import annotations

from pydantic import Field
from pydantic.config import JsonDict

from calumma.interfaces import Options, Part

MEANING: JsonDict = {"meaning": True}


class GuidanceOptions(Options):
    weight: float = Field(3.0, ge=0, le=100, description="1 is off, 0 ignores the prompt.", json_schema_extra=MEANING)


class TemperatureOptions(Options):
    temperature: float = Field(1.0, ge=0, le=100, description="Divides the logits; 0 is greedy.", json_schema_extra=MEANING)


class TopKOptions(Options):
    k: int = Field(
        256, ge=1, le=1 << 24, description="How many ids to keep, and all that tie with the last.", json_schema_extra=MEANING
    )


class TopPOptions(Options):
    p: float = Field(0.9, gt=0, le=1, description="The mass that the kept ids hold at least.", json_schema_extra=MEANING)


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
        description="More rules, after guidance and temperature and before truncation, for pictures and texts.",
        json_schema_extra={"kind": "rule"},
    )
