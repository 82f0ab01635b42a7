"""Contracts: one inheritable test class per kind. Names are loaded when they are first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from calumma.contracts.contract import BrokenRule, Contract, rule
from calumma.contracts.running import Outcome, rules_of, run

if TYPE_CHECKING:
    from calumma.contracts.decoder import DecoderContract
    from calumma.contracts.embedder import EmbedderContract
    from calumma.contracts.image_tokenizer import ImageTokenizerContract
    from calumma.contracts.retriever import RetrieverContract
    from calumma.contracts.rules import RuleContract
    from calumma.contracts.sampler import SamplerContract
    from calumma.contracts.selection import SelectionContract
    from calumma.contracts.text_tokenizer import TextTokenizerContract

__all__ = [
    "BrokenRule",
    "Contract",
    "DecoderContract",
    "EmbedderContract",
    "ImageTokenizerContract",
    "Outcome",
    "RetrieverContract",
    "RuleContract",
    "SamplerContract",
    "SelectionContract",
    "TextTokenizerContract",
    "rule",
    "rules_of",
    "run",
]

_HOMES = {
    "DecoderContract": "calumma.contracts.decoder",
    "EmbedderContract": "calumma.contracts.embedder",
    "ImageTokenizerContract": "calumma.contracts.image_tokenizer",
    "RetrieverContract": "calumma.contracts.retriever",
    "RuleContract": "calumma.contracts.rules",
    "SamplerContract": "calumma.contracts.sampler",
    "SelectionContract": "calumma.contracts.selection",
    "TextTokenizerContract": "calumma.contracts.text_tokenizer",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'calumma.contracts' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
