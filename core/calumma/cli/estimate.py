"""calumma estimate: memory and time of drawing, before anything is allocated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, get_args

import typer

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
    SetOption,
    SwapOption,
    open_pipeline,
)
from calumma.cli.output import print_json
from calumma.errors import InputError

if TYPE_CHECKING:
    from calumma.interfaces import Decoder
    from calumma.pipeline.estimate import Estimate


def estimate(
    n: CountOption = 1,
    decoder: Annotated[
        str | None, typer.Option("--decoder", help="A component id instead of a pipeline's decoder, such as cm3leon/decoder.")
    ] = None,
    option: Annotated[list[str] | None, typer.Option("--option", help="NAME=VALUE of --decoder; may be repeated.")] = None,
    drawn: Annotated[
        int | None, typer.Option("--drawn", min=1, help="Ids that are drawn; by default the pipeline's picture, else 1024.")
    ] = None,
    before: Annotated[
        int | None,
        typer.Option("--before", min=1, help="Ids of prompt and documents; by default what the context leaves."),
    ] = None,
    streams: Annotated[
        int | None, typer.Option("--streams", min=1, max=8, help="Contexts of a sample; by default the sampler's, else 2.")
    ] = None,
    dtype: Annotated[str, typer.Option("--dtype", help="float32 or bfloat16.")] = "float32",
    registry: RegistryOption = None,
    pipeline: PipelineOption = "default",
    bank: BankOption = None,
    swap: SwapOption = None,
    set: SetOption = None,
    device: DeviceOption = "auto",
    allow_local: LocalOption = False,
    plugin: PluginOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Say what n pictures at once take: parameters, memory, tokens a second and seconds, by this machine's measured bandwidth.

    Exit 1 where they do not fit into memory.
    """
    import torch

    from calumma.cli.bank.arguments import component
    from calumma.interfaces import Decoder, Dtype
    from calumma.pipeline.estimate import estimate as worked_out
    from calumma.pipeline.estimate import measured

    dtypes: tuple[Dtype, ...] = get_args(Dtype)
    if dtype not in dtypes:
        raise InputError(f"There is no precision {dtype!r}.", f"Give --dtype {' or '.join(dtypes)}.")
    precision = dtypes[dtypes.index(dtype)]
    if decoder is None and option:
        raise InputError("--option belongs to --decoder.", "Use --set for a pipeline's decoder.")
    if decoder is None:
        opened = open_pipeline(registry, pipeline, bank, swap, set, device, allow_local, plugin)
        part: Decoder = opened.decoder
        height, width = opened.image_tokenizer.grid(*opened.image_tokenizer.resolution)
        names = {"conditional"}.union(*(rule.streams for rule in opened.sampler.rules("image")))
        drawn, streams, device = drawn or height * width, streams or len(names), opened.device
    else:
        built = component("decoder", decoder, option, None, None)
        assert isinstance(built, Decoder)
        part, drawn, streams = built, drawn or 1024, streams or 2
        device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    if before is None:
        before = max(1, part.context - drawn)
    if before + drawn > part.context:
        raise InputError(
            f"{before} ids before and {drawn} drawn do not fit the context of {part.context}.", "Give a lower --before."
        )
    footprint = part.footprint(precision)
    if footprint is None:
        raise InputError(f"{part.id} does not say what it takes.", "Estimate another decoder.")
    machine = measured(device, precision)
    told = worked_out(footprint, machine, samples=n, streams=streams, before=before, drawn=drawn)
    if as_json:
        print_json(_facts(told, part, device, dtype))
    else:
        print(_text(told, part, device, dtype))
    if not told.fits:
        raise typer.Exit(1)


def _facts(told: Estimate, part: Decoder, device: str, dtype: str) -> dict[str, object]:
    return {
        "decoder": part.id,
        "device": device,
        "dtype": dtype,
        "parameters": told.footprint.parameters,
        "weight_bytes": told.footprint.weight_bytes,
        "cache_bytes_per_id": told.footprint.cache_bytes,
        "rows": told.rows,
        "ids": told.ids,
        "cache_bytes": told.cache_bytes,
        "total_bytes": told.total_bytes,
        "free_bytes": told.machine.free_bytes,
        "fits": told.fits,
        "bandwidth": round(told.machine.bandwidth),
        "flops": round(told.machine.flops),
        "tokens_per_second": round(told.tokens_per_second, 2),
        "seconds": round(told.seconds, 2),
    }


def _text(told: Estimate, part: Decoder, device: str, dtype: str) -> str:
    one, machine, gib = told.footprint, told.machine, 2**30
    each = f"{one.cache_bytes / 1024:,.1f} KiB an id"
    verdict = "fits" if told.fits else "does NOT fit: fewer pictures at once, bfloat16, or a smaller decoder"
    lines = {
        "decoder": f"{part.id}, {one.parameters / 1e6:,.1f} M parameters, {dtype} on {device}",
        "weights": f"{one.weight_bytes / gib:,.2f} GiB",
        "cache": f"{told.cache_bytes / gib:,.2f} GiB: {told.rows} rows, {told.ids:,} ids, {each}",
        "memory": f"{told.total_bytes / gib:,.2f} GiB of {machine.free_bytes / gib:,.1f} GiB free: {verdict}",
        "measured": f"{machine.bandwidth / 1e9:,.1f} GB/s read, {machine.flops / 1e9:,.0f} GFLOP/s",
        "speed": f"{told.tokens_per_second:,.1f} tokens a second at best, {told.seconds:,.1f} s for {told.samples} at once",
    }
    return "\n".join(f"{name:<9} {text}" for name, text in lines.items())
