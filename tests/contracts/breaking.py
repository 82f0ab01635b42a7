"""Runs a contract on a component that is broken on purpose: the proof that the contract finds what it is there to find."""

from __future__ import annotations

from typing import Any

from calumma.contracts import Contract, run
from calumma.interfaces import Component


def broken_rules(contract: type[Contract[Any]], component: type[Component]) -> dict[str, str]:
    """{rule's method: message} of the rules that a component breaks; the message is the one that pytest would show."""
    tested = type(f"{component.__name__}Contract", (contract,), {"component": component})
    return {one.name: f"{one.rule} But {one.found}" for one in run(tested) if not one.kept}


def assert_caught(contract: type[Contract[Any]], component: type[Component], rule: str) -> None:
    """Fails unless the contract catches the component by the rule of this name, and says the rule's sentence."""
    broken = broken_rules(contract, component)
    assert rule in broken, f"{component.__name__} was caught by {sorted(broken) or 'no rule'}, not by {rule}."
    sentence = " ".join(str(getattr(contract, rule).__doc__).split())
    assert sentence
    assert broken[rule].startswith(sentence)
