"""calumma generate: pictures from a prompt."""

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
    open_pipeline,
    writable,
)


def generate(
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help='What to draw, such as "a red apple, noto style".')],
    n: CountOption = 1,
    first: FirstOption = 0,
    best_of: Annotated[
        int,
        typer.Option(
            "--best-of", min=1, max=1000, help="Draw so many samples for each picture, keep the one nearest the prompt."
        ),
    ] = 1,
    out: OutOption = Path("out"),
    preview: PreviewOption = False,
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
    """Draw pictures of a prompt, with retrieved documents before it; write PNGs, a contact sheet and a record."""
    folder = writable(out)
    with open_pipeline(registry, pipeline, bank, swap, set, device, allow_local, plugin) as opened:
        draw(opened.stream(prompt, n, seed, first=first, best_of=best_of, preview=preview), folder, as_json, "drawing")
