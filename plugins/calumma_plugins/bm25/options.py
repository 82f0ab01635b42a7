"""Options of bm25/text."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from calumma.interfaces import Options

Method = Literal["lucene", "robertson", "atire", "bm25l", "bm25+"]
Language = Literal[
    "english", "german", "dutch", "french", "spanish", "portuguese", "italian", "russian", "swedish", "norwegian",
    "chinese", "turkish", "korean", "danish",
]  # fmt: skip


class BM25Options(Options):
    k1: float = Field(
        1.5,
        ge=0,
        le=100,
        description="How much a word counts that a text repeats: 0 counts it once, more counts more of its repetitions.",
        json_schema_extra={"meaning": True},
    )
    b: float = Field(
        0.75,
        ge=0,
        le=1,
        description="How much longer texts are held back: 0 not at all, 1 in proportion to their length.",
        json_schema_extra={"meaning": True},
    )
    method: Method = Field(
        "lucene",
        description="The variant of the formula, as Kamphuis et al. 2020 name them; with robertson and atire, words that "
        "are in (nearly) every text count nothing.",
        json_schema_extra={"meaning": True},
    )
    delta: float = Field(
        0.5,
        ge=0.01,
        le=10,
        description="What bm25l and bm25+ add for a word that is there at all; the other methods have no use for it.",
        json_schema_extra={"meaning": True},
    )
    stopwords: Language | None = Field(
        None,
        description="The language of words to leave out (bm25s's lists); by default every word counts.",
        json_schema_extra={"meaning": True},
    )
