"""calumma caption: texts from a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from calumma.cli.drawing import drawing_bar, summary
from calumma.cli.options import (
    BankOption,
    CountOption,
    DebugOption,
    DeviceOption,
    JsonOption,
    LocalOption,
    PipelineOption,
    PluginOption,
    RegistryOption,
    SeedOption,
    SetOption,
    SwapOption,
    open_pipeline,
)
from calumma.cli.output import print_json
from calumma.documents.pictures import read_picture
from calumma.documents.printing import printable


def caption(
    picture: Annotated[Path, typer.Argument(metavar="PICTURE", help="The picture to describe.")],
    n: CountOption = 1,
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
    """Describe a picture in words."""
    pixels = read_picture(picture)
    with (
        open_pipeline(registry, pipeline, bank, swap, set, device, allow_local, plugin) as opened,
        drawing_bar("reading", as_json, "texts") as show,
    ):
        result = opened.stream_caption(pixels, n, seed).result(show)
    if as_json:
        print_json({"texts": result.texts, **summary(result)})
        return
    for text in result.texts:
        print(printable(text))
