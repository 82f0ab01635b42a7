"""Runs a contract without pytest and says, rule by rule, what was kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from calumma.contracts.contract import BrokenRule, Contract
from calumma.errors import FailedError


@dataclass(frozen=True)
class Outcome:
    """What became of one rule.

    Attributes:
        name: the method. rule: the rule as a sentence. kept: whether it holds.
        found: what the component did instead; empty where the rule is kept.
    """

    name: str
    rule: str
    kept: bool
    found: str
    seconds: float


def rules_of(contract: type[Contract[Any]]) -> list[str]:
    """The names of a contract's rules: its kind's own first, then those of every component, each in the order written."""
    order: list[str] = []
    for cls in contract.__mro__:
        order += [name for name, value in vars(cls).items() if getattr(value, "is_rule", False) and name not in order]
    return order


def run(contract: type[Contract[Any]], on_rule: Callable[[str], None] | None = None) -> Iterator[Outcome]:
    """Checks every rule, each on components of its own; one that is broken does not stop the others.

    Raises FailedError under `python -O`, where no assertion is made and every component would pass.
    """
    if not __debug__:
        raise FailedError("Contracts are made of assertions, which this Python leaves out.", "Run it without -O.")
    for name in rules_of(contract):
        check = getattr(contract, name)
        if on_rule is not None:
            on_rule(name)
        begun, found, sentence = time.perf_counter(), "", " ".join((check.__doc__ or "").split())
        one = contract()
        one.setup_method()
        try:
            check(one)
        except BrokenRule as error:
            found = error.found
        finally:
            one.teardown_method()
        yield Outcome(name, sentence, not found, found, time.perf_counter() - begun)
