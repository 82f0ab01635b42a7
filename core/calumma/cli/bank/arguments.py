"""What the verbs of `calumma bank` share: arguments, the bank and the components that they name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from calumma.cli import completion
from calumma.errors import BankError, InputError

if TYPE_CHECKING:
    from calumma.bank import Bank, Source
    from calumma.interfaces import Component, Embedder, Retriever

BankArgument = Annotated[
    str,
    typer.Argument(
        metavar="BANK",
        help="A folder, PLUGIN:file such as starter:memory, or a bank of the registry.",
        autocompletion=completion.banks,
    ),
]
SourceArgument = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="A folder of pictures, webdataset tars, Parquet, JSONL, a data set of `datasets`, clip-retrieval's, or a bank.",
    ),
]
FormatOption = Annotated[str | None, typer.Option("--format", help="What the source is, where that should not be guessed.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
RegistryOption = Annotated[
    Path | None, typer.Option("--registry", help="The registry; by default registry.yaml here, else the shipped one.")
]
PipelineOption = Annotated[
    str | None,
    typer.Option("--pipeline", help="The pipeline whose embedder to use.", autocompletion=completion.pipelines),
]
EmbedderOption = Annotated[
    str | None, typer.Option("--embedder", help="A registry's embedder, or a component id such as openclip/clip.")
]
ComponentOptions = Annotated[list[str] | None, typer.Option("--option", help="NAME=VALUE of a component id; may be repeated.")]
DeviceOption = Annotated[str, typer.Option("--device", help="Where the embedder runs.")]
VersionOption = Annotated[int | None, typer.Option("--at", min=1, help="The bank's version; by default the newest.")]


def open_bank(name: str, version: int | None = None) -> Bank:
    """A bank by its folder, by PLUGIN:file, or by its name in the registry. Raises BankError where there is none."""
    from calumma.bank import Bank

    return Bank.open(bank_folder(name), None if os.path.exists(name) else name, version)


def bank_folder(name: str) -> Path:
    """The folder of the bank that is meant, whatever lies there."""
    from calumma.extension import Catalog
    from calumma.extension.assets import plugin_of
    from calumma.registry import default_registry, read

    if os.path.exists(name):
        return Path(name)
    if plugin_of(name) is not None:
        return Catalog().resolve_asset(name)
    file = default_registry()
    block = read(file).banks.get(name)
    where = None if block is None else block.get("path")
    if where is None:
        raise BankError(f"There is no bank {name!r}: no such folder, and none of that name in {file}.", "Check the name.")
    return Catalog().resolve_asset(str(where.value), where.mark.base)


def own_bank(name: str) -> Path:
    """The folder of a bank that may be changed. Raises BankError: there is none, or it belongs to a plugin."""
    from calumma.extension.assets import plugin_of

    path = open_bank(name).path
    if not os.path.exists(name) and plugin_of(name) is not None:
        raise BankError(
            f"The bank {name} belongs to a plugin.", f"Change a copy: calumma bank export {name} --out COPY, then bank build."
        )
    return path


def open_source(path: str, format: str | None) -> Source:
    """Where documents come from. Raises BankError where nothing is there that can be read."""
    from calumma.bank.sources import open_source as opened

    return opened(path, format)


def embedder_of(name: str | None, options: list[str] | None, registry: Path | None, pipeline: str | None) -> Embedder:
    """The embedder that the flags mean, not warm yet."""
    from calumma.interfaces import Embedder

    part = component("embedder", name, options, registry, pipeline)
    if not isinstance(part, Embedder):
        raise BankError(f"{name} is no embedder.", "Name one of kind embedder.")
    return part


def retriever_of(name: str, registry: Path | None) -> Retriever:
    """A retriever by its name in the registry or by its id."""
    from calumma.interfaces import Retriever

    part = component("retriever", name, None, registry, None)
    if not isinstance(part, Retriever):
        raise BankError(f"{name} is no retriever.", "Name one of kind retriever.")
    return part


def component(kind: str, name: str | None, options: list[str] | None, registry: Path | None, pipeline: str | None) -> Component:
    """A component by id, by its name in the registry, or (None) the one of a pipeline; nothing else is built."""
    from calumma.extension import Catalog
    from calumma.registry import build_component, default_registry, resolve

    if name is not None and "/" in name:
        return Catalog().build(kind, name, _settings(options))
    if options:
        raise InputError("--option belongs to a component id.", f"Give --{kind} PLUGIN/NAME, or change the registry.")
    swap = {kind: name} if name else {}
    resolved = resolve(registry or default_registry(), pipeline or "default", swap)
    return build_component(resolved.slots[kind], resolved.catalog, kind)


def _settings(options: list[str] | None) -> dict[str, Any]:
    import yaml

    settings: dict[str, Any] = {}
    for pair in options or []:
        key, equals, value = pair.partition("=")
        if not equals:
            raise InputError(f"The option {pair!r} has no value.", "Write --option NAME=VALUE.")
        settings[key] = yaml.safe_load(value)
    return settings
