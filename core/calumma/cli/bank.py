"""calumma bank: build, search and describe memory banks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from calumma.cli import completion
from calumma.cli.output import note, print_json
from calumma.errors import BankError, InputError

if TYPE_CHECKING:
    from calumma.bank import Bank
    from calumma.interfaces import Embedder

app = typer.Typer(name="bank", help="Build, search and describe memory banks.", no_args_is_help=True)

BankArgument = Annotated[
    str,
    typer.Argument(
        metavar="BANK",
        help="A folder, PLUGIN:file such as starter:memory, or a bank of the registry.",
        autocompletion=completion.banks,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Registry = Annotated[Path | None, typer.Option(help="The registry; by default registry.yaml here, else the shipped one.")]
Pipeline = Annotated[str | None, typer.Option(help="The pipeline whose embedder to use.", autocompletion=completion.pipelines)]
Device = Annotated[str, typer.Option(help="Where the embedder runs.")]
SHOWN = 20


@app.command("build")
def build_bank(
    source: Annotated[
        Path, typer.Argument(help="A folder of pictures with captions: metadata.jsonl, metadata.csv or .txt files.")
    ],
    out: Annotated[Path, typer.Option(help="The folder to write the bank to.")],
    embedder: Annotated[
        str | None, typer.Option(help="A registry's embedder, or a component id such as openclip/clip.")
    ] = None,
    option: Annotated[list[str] | None, typer.Option("--option", help="NAME=VALUE of a component id; may be repeated.")] = None,
    registry: Registry = None,
    pipeline: Pipeline = None,
    device: Device = "cpu",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a bank that is there.")] = False,
    as_json: Json = False,
) -> None:
    """Embed a folder's documents into a new bank; what cannot be used is left out and reported."""
    from calumma.bank import ImageFolder, build, check_place

    check_place(out, overwrite)
    folder = ImageFolder(source)
    part = _embedder(embedder, option or [], registry, pipeline)
    part.warm_up(device)
    report = build(folder, out, part, overwrite=overwrite)
    if as_json:
        skipped = [{"name": name, "reason": reason} for name, reason in report.skipped]
        print_json({"bank": str(out), "read": report.read, "kept": report.kept, "skipped": skipped})
        return
    for name, reason in report.skipped[:SHOWN]:
        note(f"left out: {name}: {reason}")
    if len(report.skipped) > SHOWN:
        note(f"... and {len(report.skipped) - SHOWN} more")
    print(f"{out}: {report}")


@app.command("search")
def search_bank(
    bank: BankArgument,
    text: Annotated[str, typer.Argument(help="What to look for.")],
    k: Annotated[int, typer.Option("-k", min=1, max=10_000, help="How many documents to show.")] = 5,
    as_json: Json = False,
) -> None:
    """Show the documents nearest to a text, by exact search with the bank's own embedder."""
    from calumma.documents.printing import printable

    found = open_bank(bank).search(text, k)
    hits = [{"id": one.document.id, "text": one.document.text, "score": round(one.score, 6)} for one in found]
    if as_json:
        print_json({"hits": hits})
        return
    for hit in hits:
        print(printable(f"{hit['score']:.4f}  {hit['id']}  {hit['text']}"))


@app.command("info")
def describe_bank(bank: BankArgument, as_json: Json = False) -> None:
    """Say what a bank holds, and who embedded it."""
    from calumma.documents.printing import printable

    facts = open_bank(bank).facts()
    if as_json:
        print_json(facts)
        return
    for name, value in facts.items():
        print(printable(f"{name:<10} {value}"))


def open_bank(name: str) -> Bank:
    """A bank by its folder, or by PLUGIN:file. Raises BankError where there is none."""
    from calumma.bank import Bank
    from calumma.extension import Catalog
    from calumma.extension.assets import plugin_of
    from calumma.registry import default_registry, read

    if os.path.exists(name):
        return Bank.open(name)
    if plugin_of(name) is not None:
        return Bank.open(Catalog().resolve_asset(name), name)
    file = default_registry()
    block = read(file).banks.get(name)
    where = None if block is None else block.get("path")
    if where is None:
        raise BankError(f"There is no bank {name!r}: no such folder, and none of that name in {file}.", "Check the name.")
    return Bank.open(Catalog().resolve_asset(str(where.value), where.mark.base), name)


def _embedder(name: str | None, options: list[str], registry: Path | None, pipeline: str | None) -> Embedder:
    import yaml

    import calumma
    from calumma.extension import Catalog
    from calumma.interfaces import Embedder

    if name is not None and "/" in name:
        settings: dict[str, Any] = {}
        for pair in options:
            key, equals, value = pair.partition("=")
            if not equals:
                raise InputError(f"The option {pair!r} has no value.", "Write --option NAME=VALUE.")
            settings[key] = yaml.safe_load(value)
        part = Catalog().build("embedder", name, settings)
    else:
        if options:
            raise InputError("--option belongs to a component id.", "Give --embedder PLUGIN/NAME, or change the registry.")
        swap = {"retriever": "none/none", **({"embedder": name} if name else {})}
        part = calumma.load(registry, pipeline=pipeline or "default", swap=swap).embedder
    if not isinstance(part, Embedder):
        raise BankError(f"{name} is no embedder.", "Name one of kind embedder.")
    return part
