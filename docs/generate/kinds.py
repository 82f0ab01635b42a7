"""The page of kinds: what each is, the class to inherit, the rules of its contract, and what is installed of it."""

from __future__ import annotations

from calumma.contracts import Contract, rules_of
from calumma.extension import Catalog, KindSpec

from .components import stem
from .markdown import prose, table

HEAD = """# Kinds and their contracts

A kind says what a part *is*: a class to inherit and a contract that its components keep. The rules below are the docstrings of
the contract's own checks, which `calumma plugins check ID` runs, and so does pytest where a test class inherits the contract.
"""


def page(catalog: Catalog) -> str:
    """The whole page: rules that all kinds share once, then each kind's own."""
    lines = [*HEAD.splitlines(), "", "## Rules of every component", "", *_sentences(Contract, rules_of(Contract))]
    for kind in sorted(catalog.kinds().values(), key=lambda one: one.name):
        lines += _kind(catalog, kind)
    return "\n".join(lines)


def _kind(catalog: Catalog, kind: KindSpec) -> list[str]:
    lines = [f"## {kind.name}", "", prose(kind.summary), ""]
    lines += table(("", ""), [["inherit", f"`{_path(kind.interface)}`"], ["contract", f"`{_path(kind.contract)}`"]])
    components = sorted(catalog.components(kind.name), key=lambda spec: spec.name)
    links = ", ".join(f"[`{spec.name}`](components/{stem(spec)}.md)" for spec in components)
    lines += [f"Installed: {links}." if links else "Nothing is installed of this kind.", ""]
    if kind.contract:
        contract = catalog.contract(kind.name)
        shared = set(rules_of(Contract))
        lines += _sentences(contract, [name for name in rules_of(contract) if name not in shared])
    return lines


def _path(target: str) -> str:
    return target.replace(":", ".")


def _sentences(contract: type, names: list[str]) -> list[str]:
    return [*(f"- {prose(getattr(contract, name).__doc__ or name)}" for name in names), ""]
