"""calumma bank compact, export: smaller, and elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from calumma.cli.bank.arguments import BankArgument, JsonOption, VersionOption, open_bank, own_bank
from calumma.cli.output import print_json
from calumma.errors import InputError


def compact_bank(
    bank: BankArgument,
    keep_days: Annotated[float, typer.Option("--keep-days", min=0, help="Versions that are younger stay.")] = 7.0,
    as_json: JsonOption = False,
) -> None:
    """Merge small files, drop what was removed, forget old versions and the indexes over them."""
    from calumma.bank.writing.compact import compact

    path = own_bank(bank)
    done = compact(path, keep_days)
    if as_json:
        facts = {"version": done.version, "versions": done.versions, "before": done.before, "after": done.after}
        print_json({"bank": str(path), **facts})
        return
    sizes = f"{done.before / 2**20:.1f} MiB, now {done.after / 2**20:.1f} MiB"
    print(f"{bank}: {sizes}; version {done.version}, {done.versions} kept.")


def export_bank(
    bank: BankArgument,
    out: Annotated[Path, typer.Option(help="What to write: a folder, or a file for Parquet.")],
    format: Annotated[
        str, typer.Option("--format", help="image-folder, parquet (both can be built from again), or clip-retrieval.")
    ] = "image-folder",
    at: VersionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a bank's documents as files that other tools read."""
    from calumma.bank.export import FORMATS, export

    chosen = next((one for one in FORMATS if one == format), None)
    if chosen is None:
        raise InputError(f"There is no format {format!r}.", f"Give one of {', '.join(FORMATS)}.")
    opened = open_bank(bank, at)
    path = export(opened, out, chosen)
    if as_json:
        print_json({"out": str(path), "format": chosen, "documents": len(opened)})
    else:
        print(f"{out}: {len(opened):,} documents as {chosen}.")
