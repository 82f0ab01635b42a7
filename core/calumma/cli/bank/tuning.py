"""calumma bank tune: which parameters of which engine reach a recall, and how fast."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from calumma.cli.bank.arguments import BankArgument, JsonOption, RegistryOption, VersionOption, open_bank, retriever_of
from calumma.cli.options import writable
from calumma.cli.output import note, print_json, print_table
from calumma.errors import CalummaError, InputError

if TYPE_CHECKING:
    from calumma.bank.tuning import LeftOut
    from calumma.interfaces import Retriever, VectorPart

PARTS: tuple[VectorPart, ...] = ("document", "text", "image")


def tune_bank(
    bank: BankArgument,
    out: Annotated[Path, typer.Option(help="The folder for the plot, the tables, the registry, and what was measured.")],
    recall: Annotated[float, typer.Option(min=0.001, max=1, help="What the choice must reach.")] = 0.95,
    k: Annotated[int, typer.Option("--k", "-k", min=1, max=10_000, help="How many documents are wanted of a query.")] = 10,
    retriever: Annotated[
        list[str] | None,
        typer.Option(
            "--retriever", help="A registry's name or an id; may be repeated. By default every one by vector that is installed."
        ),
    ] = None,
    queries: Annotated[int, typer.Option(min=1, max=100_000, help="How many documents of the bank to ask by.")] = 1000,
    by: Annotated[str, typer.Option(help="Which of their vectors: document, text or image.")] = "document",
    seed: Annotated[int, typer.Option(min=0, help="Draws the queries.")] = 0,
    budget: Annotated[
        float | None, typer.Option(min=0, help="Seconds after which nothing more is begun; run again to go on.")
    ] = None,
    at: VersionOption = None,
    registry: RegistryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure recall against exact search, and queries a second, over the parameters of retrievers.

    Chooses the fastest that reaches the recall and writes its registry block; exit code 1 where none does.
    """
    from calumma.bank.tuning import tune
    from calumma.bank.tuning.plotting import check_matplotlib
    from calumma.bank.tuning.writing import cells, columns, verdict, write
    from calumma.documents.printing import printable

    check_matplotlib()
    part = next((one for one in PARTS if one == by), None)
    if part is None:
        raise InputError(f"There is no vector by {by!r}.", f"Give --by one of {', '.join(PARTS)}.")
    opened = open_bank(bank, at)
    writable(out)
    engines, lacking = (
        _installed() if not retriever else ([retriever_of(one, registry) for one in dict.fromkeys(retriever)], [])
    )
    found = tune(opened, engines, out, recall=recall, k=k, queries=queries, by=part, seed=seed, budget=budget)
    found = replace(found, left_out=[*lacking, *found.left_out])
    written = write(found, out)
    for one in found.left_out:
        note(str(one))
    if found.stopped:
        note(f"The budget ended with {len(found.rows)} of {found.planned} configurations measured; run it again to go on.")
    if as_json:
        more = {"plot": str(written.plot), "registry": None if written.registry is None else str(written.registry)}
        print_json({**found.dump(), **more})
    else:
        print_table(columns(k), cells(found))
        print(f"\n{printable(verdict(found))}")
        if found.chosen is not None:
            print(f"\n{found.chosen.block()}\n{written.registry} has it; {written.plot} shows it.")
    if found.chosen is None:
        if as_json:
            note(verdict(found))
        sys.exit(1)


def _installed() -> tuple[list[Retriever], list[LeftOut]]:
    """Every retriever of the installed plugins that searches by vectors alone on this machine, and those that cannot be had."""
    from calumma.bank.tuning import LeftOut
    from calumma.bank.tuning.run import searches_vectors
    from calumma.extension import Catalog
    from calumma.interfaces import Retriever

    catalog, found, lacking = Catalog(), list[Retriever](), list[LeftOut]()
    for spec in catalog.components("retriever"):
        status, reason = catalog.status(spec)
        if status != "available":
            lacking.append(LeftOut(spec.name, "", f"{reason}."))
        elif not spec.capabilities.get("remote"):
            try:
                if searches_vectors(catalog.component_class(spec)):
                    engine = catalog.build("retriever", spec.name)
                    assert isinstance(engine, Retriever)
                    found.append(engine)
            except CalummaError as error:
                lacking.append(LeftOut(spec.name, "", error.message))
    return found, lacking
