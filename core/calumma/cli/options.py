"""Options that verbs share, and the pipeline that they mean."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from calumma.cli import completion
from calumma.errors import InputError

if TYPE_CHECKING:
    from calumma.pipeline import Pipeline

RegistryOption = Annotated[
    Path | None, typer.Option("--registry", help="The registry; by default registry.yaml here, else the shipped one.")
]
PipelineOption = Annotated[
    str, typer.Option("--pipeline", help="A pipeline of the registry.", autocompletion=completion.pipelines)
]
BankOption = Annotated[
    str | None,
    typer.Option("--bank", help="A bank of the registry, a folder, or PLUGIN:file.", autocompletion=completion.banks),
]
SwapOption = Annotated[
    list[str] | None,
    typer.Option(
        "--swap",
        metavar="SLOT=NAME",
        help="Put another component into a slot; may be repeated.",
        autocompletion=completion.swaps,
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SLOT.OPTION=VALUE", help="Set one option; may be repeated.", autocompletion=completion.sets),
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, max=2**63 - 1, help="The seed of the noise.")]
DeviceOption = Annotated[
    str,
    typer.Option("--device", help="cpu, cuda, mps, or auto: a GPU if there is one.", autocompletion=completion.devices),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON value on stdout, everything else on stderr.")]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
LocalOption = Annotated[bool, typer.Option("--allow-local", help="Run the local plugin files that the registry names.")]
PluginOption = Annotated[
    list[str] | None,
    typer.Option("--plugin", help="Also use this plugin (observers); may be repeated.", autocompletion=completion.plugins),
]
CountOption = Annotated[int, typer.Option("-n", min=1, max=10_000, help="How many.")]
FirstOption = Annotated[int, typer.Option("--first", min=0, max=2**31 - 1, help="The number of the first picture.")]
PreviewOption = Annotated[
    bool, typer.Option("--preview", help="Show the pictures in OUT/preview.png while they are drawn, row by row.")
]
OutOption = Annotated[Path, typer.Option("--out", help="The folder to write to.")]


def pairs(given: list[str] | None, flag: str) -> dict[str, str]:
    """`["a=b"]` as `{"a": "b"}`. Raises InputError for a word without `=` or a key given twice."""
    found: dict[str, str] = {}
    for one in given or []:
        key, equals, value = one.partition("=")
        if not (key and equals):
            raise InputError(f"{flag} {one} has no value.", f"Write {flag} NAME=VALUE.")
        if key in found:
            raise InputError(f"{flag} {key} is given twice.", "Keep one of them.")
        found[key] = value
    return found


def sets(given: list[str] | None) -> dict[str, Any]:
    """`["slot.option=VALUE"]` as option -> value, each read as YAML. Raises RegistryError naming the flag."""
    from calumma.registry import parse_value

    return {key: parse_value(text, f"--set {key}").plain() for key, text in pairs(given, "--set").items()}


def open_pipeline(
    registry: Path | None,
    pipeline: str,
    bank: str | None,
    swap: list[str] | None,
    set: list[str] | None,
    device: str,
    allow_local: bool,
    plugin: list[str] | None,
) -> Pipeline:
    """The pipeline that the flags mean."""
    from calumma.pipeline import load

    return load(
        registry,
        pipeline=pipeline,
        bank=bank,
        swap=pairs(swap, "--swap"),
        set=sets(set),
        device=device,
        allow_local=allow_local,
        plugins=plugin or [],
    )


def writable(folder: Path) -> Path:
    """The folder, not made yet. Raises InputError before any work is done where it could not be made or written."""
    import errno
    import os
    import tempfile

    there = folder.absolute()
    while not there.exists() and there != there.parent:
        there = there.parent
    try:
        if not there.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise InputError(f"Cannot write to {folder}: {error.strerror}.", "Choose another --out folder.") from error
    return folder


def box_of(text: str) -> tuple[int, int, int, int]:
    """`X0,Y0,X1,Y1` as four integers. Raises InputError."""
    try:
        x0, y0, x1, y1 = (int(one) for one in text.split(","))
    except ValueError as error:
        raise InputError(f"The box {text!r} is not four whole numbers.", "Write --box X0,Y0,X1,Y1 in pixels.") from error
    return x0, y0, x1, y1
