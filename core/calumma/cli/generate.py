"""calumma generate: pictures from a prompt."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from calumma.cli.options import (
    BankOption,
    CountOption,
    DebugOption,
    DeviceOption,
    JsonOption,
    LocalOption,
    OutOption,
    PipelineOption,
    PluginOption,
    RegistryOption,
    SeedOption,
    SetOption,
    SwapOption,
    drawing_bar,
    open_pipeline,
    writable,
)
from calumma.cli.output import note, print_json

if TYPE_CHECKING:
    from calumma.pipeline import Result


def generate(
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help='What to draw, such as "a red apple, noto style".')],
    n: CountOption = 1,
    out: OutOption = Path("out"),
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
    with (
        open_pipeline(registry, pipeline, bank, swap, set, device, allow_local, plugin) as opened,
        drawing_bar("drawing") as show,
    ):
        result = opened.generate(prompt, n=n, seed=seed, on_progress=show)
    report(result, folder, as_json)


def report(result: Result, folder: Path, as_json: bool) -> None:
    """Saves a result of pictures and says where."""
    saved = result.save(folder)
    if as_json:
        print_json({"images": [str(path) for path in saved.images], **summary(result), "record": str(saved.record)})
        return
    for one in result.retrieved:
        note(f"retrieved {one.score:.3f}  {one.document.id}  {one.document.text}")
    note(f"drew {len(saved.images)} in {result.timings['total']:.1f} s; contact sheet: {saved.sheet}")
    for path in saved.images:
        print(path)


def summary(result: Result) -> dict[str, Any]:
    """What every verb's JSON says of a result."""
    retrieved = [{"id": one.document.id, "text": one.document.text, "score": one.score} for one in result.retrieved]
    return {"retrieved": retrieved, "seconds": round(result.timings["total"], 3)}
