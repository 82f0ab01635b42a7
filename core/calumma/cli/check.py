"""calumma plugins check: does a component keep the contract of its kind? A line per rule, then a verdict."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from calumma.cli import completion
from calumma.cli.options import DebugOption, JsonOption, sets
from calumma.cli.output import print_json, progress_bar, stdout_for_json
from calumma.errors import InputError

if TYPE_CHECKING:
    from calumma.contracts import Contract, Outcome
    from calumma.extension import Catalog, ComponentSpec


def check(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="A plugin, a component id such as hnswlib/hnsw, or a Python file that is a plugin.",
            autocompletion=completion.plugins_and_components,
        ),
    ],
    set: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="OPTION=VALUE", help="Check it with this option, not its example's; may be repeated."),
    ] = None,
    allow_local: Annotated[bool, typer.Option("--allow-local", help="Run NAME, where it is a Python file.")] = False,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Check that a component keeps the contract of its kind.

    One line per rule, and exit 1 where one is broken.
    """
    catalog, specs = _asked(name, allow_local)
    options = sets(set)
    if options and len(specs) > 1:
        ids = ", ".join(spec.name for spec in specs)
        raise InputError(f"--set is for one component, and {name} has {len(specs)}.", f"Name one of them: {ids}.")
    contracts = [_contract(catalog, spec, options) for spec in specs]
    facts: list[dict[str, Any]] = []
    for spec, contract in zip(specs, contracts, strict=True):
        outcomes = _outcomes(spec.name, contract)
        kept = all(one.kept for one in outcomes)
        facts.append({"id": spec.name, "kind": spec.kind, "ok": kept, "rules": [asdict(one) for one in outcomes]})
        if not as_json:
            _print_rules(spec, outcomes)
    ok = all(one["ok"] for one in facts)
    if as_json:
        print_json({"ok": ok, "components": facts})
    elif len(facts) > 1:
        print(f"{name}: {sum(one['ok'] for one in facts)} of {len(facts)} components keep their contract.")
    if not ok:
        raise typer.Exit(1)


def _asked(name: str, allow_local: bool) -> tuple[Catalog, list[ComponentSpec]]:
    """What a plugin's name, a component id or a file means. Raises CalummaError, with the nearest name."""
    from calumma.cli.plugins import specs_named
    from calumma.extension import Catalog

    file = Path(name)
    if file.suffix == ".py":
        if not file.is_file():
            raise InputError(f"There is no file {name}.", "Give the path of a plugin, or its name without .py.")
        catalog = Catalog(local=[file], allow_local=allow_local)
        specs = list(catalog.require(file.stem).components)
    else:
        catalog = Catalog()
        specs = specs_named(catalog, name) if "/" in name else list(catalog.require(name).components)
    if not specs:
        raise InputError(f"{name} offers no components, so there is nothing to check.", "Name another: `calumma plugins list`.")
    return catalog, specs


def _contract(catalog: Catalog, spec: ComponentSpec, options: Mapping[str, Any]) -> type[Contract[Any]]:
    """The contract of a component's kind, about this component. Raises CalummaError where it cannot be built at all."""
    from calumma.extension.building import validated

    contract = catalog.contract(spec.kind)
    catalog.component_class(spec)
    cls = catalog.options_class(spec)
    with tempfile.TemporaryDirectory(prefix="calumma-check-") as folder:
        given = options or catalog.example(spec, Path(folder))
    lacking = [name for name, field in cls.model_fields.items() if field.is_required() and name not in given]
    if lacking:
        flags = " ".join(f"--set {name}=..." for name in lacking)
        raise InputError(
            f"{spec.name} needs {' and '.join(lacking)}{'' if options else ', and its plugin gives no example'}.",
            f"`calumma plugins show {spec.name}` explains them. Run: calumma plugins check {spec.name} {flags}",
        )
    validated(cls, given, spec.name)
    facts = {"component": spec.name, "catalog": catalog, **({"options": dict(options)} if options else {})}
    return type("Checked", (contract,), facts)


def _outcomes(id: str, contract: type[Contract[Any]]) -> list[Outcome]:
    """Checks every rule; what the component prints meanwhile goes to stderr."""
    from calumma.contracts import rules_of, run

    with progress_bar(f"checking {id}") as bar, stdout_for_json():
        task = bar.add_task("", total=len(rules_of(contract)))
        outcomes = []
        for outcome in run(contract):
            outcomes.append(outcome)
            bar.advance(task)
        return outcomes


def _print_rules(spec: ComponentSpec, outcomes: list[Outcome]) -> None:
    from calumma.documents.printing import printable

    print(f"{spec.name} ({spec.kind})")
    for one in outcomes:
        print(f"  {'kept  ' if one.kept else 'BROKEN'}  {one.rule}")
        if not one.kept:
            print(f"          But {printable(one.found)}")
    broken = [one for one in outcomes if not one.kept]
    took = f"{len(outcomes)} rules, {sum(one.seconds for one in outcomes):.1f} s"
    if broken:
        print(f"{spec.name} BREAKS {len(broken)} rule{'s' * (len(broken) > 1)} of its contract ({took}).")
    else:
        print(f"{spec.name} keeps its contract ({took}).")
