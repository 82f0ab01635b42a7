"""calumma infill: the inside of a box drawn anew."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from calumma.cli.drawing import draw
from calumma.cli.options import (
    BankOption,
    CountOption,
    DebugOption,
    DeviceOption,
    FirstOption,
    JsonOption,
    LocalOption,
    OutOption,
    PipelineOption,
    PluginOption,
    PreviewOption,
    RegistryOption,
    SeedOption,
    SetOption,
    SwapOption,
    box_of,
    open_pipeline,
    writable,
)
from calumma.documents.pictures import read_picture


def infill(
    picture: Annotated[Path, typer.Argument(metavar="PICTURE", help="The picture to change.")],
    box: Annotated[str, typer.Option("--box", metavar="X0,Y0,X1,Y1", help="In the picture's pixels; X1 and Y1 exclusive.")],
    prompt: Annotated[str, typer.Option("--prompt", help="What the whole picture shows.")],
    n: CountOption = 1,
    first: FirstOption = 0,
    out: OutOption = Path("out"),
    preview: PreviewOption = False,
    paste: Annotated[bool, typer.Option("--paste/--no-paste", help="Keep every pixel outside the box as given.")] = True,
    registry: RegistryOption = None,
    pipeline: PipelineOption = "default",
    bank: BankOption = None,
    swap: SwapOption = None,
    set: SetOption = None,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    allow_local: LocalOption = False,
    plugin: PluginOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Draw the inside of a box of a picture anew; ids of cells that the box does not touch stay as they are."""
    corners = box_of(box)
    pixels = read_picture(picture)
    folder = writable(out)
    with open_pipeline(registry, pipeline, bank, swap, set, device, allow_local, plugin) as opened:
        stream = opened.stream_infill(pixels, corners, prompt, n, seed, first=first, paste=paste, preview=preview)
        draw(stream, folder, as_json, "infilling")
