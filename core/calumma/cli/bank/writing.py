"""calumma bank build, add, upsert, remove: what changes a bank."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from calumma.cli.bank.arguments import (
    BankArgument,
    ComponentOptions,
    DeviceOption,
    EmbedderOption,
    FormatOption,
    JsonOption,
    PipelineOption,
    RegistryOption,
    SourceArgument,
    embedder_of,
    open_source,
    own_bank,
)
from calumma.cli.output import note, print_json
from calumma.errors import InputError

if TYPE_CHECKING:
    from calumma.bank import Report

SHOWN = 20
COUNTS = ("read", "kept", "embedded", "resumed", "there", "replaced", "version")

StrictOption = Annotated[bool, typer.Option("--strict", help="Fail at the first document that cannot be used.")]
DiscardOption = Annotated[bool, typer.Option("--discard", help="Give up what an interrupted change has done.")]
WorkersOption = Annotated[int, typer.Option("--workers", min=1, max=10_000, help="Processes that embed, on a Ray cluster.")]


def build_bank(
    source: SourceArgument,
    out: Annotated[Path, typer.Option(help="The folder to write the bank to.")],
    format: FormatOption = None,
    embedder: EmbedderOption = None,
    option: ComponentOptions = None,
    registry: RegistryOption = None,
    pipeline: PipelineOption = None,
    device: DeviceOption = "cpu",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Make it the next version of a bank that is there.")] = False,
    strict: StrictOption = False,
    discard: DiscardOption = False,
    workers: WorkersOption = 1,
    as_json: JsonOption = False,
) -> None:
    """Embed a source's documents into a new bank; what cannot be used is left out and listed.

    Interrupted, the same command goes on where it stopped.
    """
    from calumma.bank import build, check_place

    check_place(out, overwrite)
    opened = open_source(source, format)
    if opened.embedded and embedder is None:
        raise InputError(
            f"{source} brings vectors, and does not say whose.", "Name the encoder that made them: --embedder NAME."
        )
    part = embedder_of(embedder, option, registry, pipeline)
    if workers > 1:
        from calumma.bank.writing.parallel import build_in_parallel

        report = build_in_parallel(
            opened, out, part, workers, device=device, overwrite=overwrite, strict=strict, discard_pending=discard
        )
    else:
        if not opened.embedded:
            part.warm_up(device)
        report = build(opened, out, part, overwrite=overwrite, strict=strict, discard_pending=discard)
    _tell(str(out), out, report, as_json)


def add_to_bank(
    bank: BankArgument,
    source: SourceArgument,
    format: FormatOption = None,
    device: DeviceOption = "cpu",
    strict: StrictOption = False,
    discard: DiscardOption = False,
    as_json: JsonOption = False,
) -> None:
    """Add a source's documents to a bank, by the bank's own embedder; what it has already stays as it is.

    Interrupted, the same command goes on where it stopped.
    """
    _add(bank, source, format, device, strict, discard, as_json, replace=False)


def upsert_into_bank(
    bank: BankArgument,
    source: SourceArgument,
    format: FormatOption = None,
    device: DeviceOption = "cpu",
    strict: StrictOption = False,
    discard: DiscardOption = False,
    as_json: JsonOption = False,
) -> None:
    """The same as add, and a document with the id of another takes its place where its content differs."""
    _add(bank, source, format, device, strict, discard, as_json, replace=True)


def remove_from_bank(
    bank: BankArgument,
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Ids of documents, as `bank search` shows them.")],
    missing_ok: Annotated[bool, typer.Option("--missing-ok", help="Pass over ids that it does not have.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove documents from a bank; older versions keep them until `bank compact`."""
    from calumma.bank import Bank, remove

    path = own_bank(bank)
    count = remove(path, ids, missing_ok=missing_ok)
    version = Bank.open(path).version
    if as_json:
        print_json({"bank": str(path), "removed": count, "version": version})
    else:
        print(f"{bank}: {count} removed; version {version}.")


def _add(
    bank: str, source: str, format: str | None, device: str, strict: bool, discard: bool, as_json: bool, replace: bool
) -> None:
    from calumma.bank import Bank, add
    from calumma.bank.embedder import embedder_of as bank_embedder

    path = own_bank(bank)
    opened = open_source(source, format)
    if opened.embedded:
        raise InputError(f"{source} brings vectors; only `bank build` takes them over.", "Build a bank of it.")
    part = bank_embedder(Bank.open(path).info.embedder, device=device)
    _tell(bank, path, add(path, opened, part, replace=replace, strict=strict, discard_pending=discard), as_json)


def _tell(bank: str, path: Path, report: Report, as_json: bool) -> None:
    if as_json:
        counts = {
            name: getattr(report, name) for name in ("read", "kept", "embedded", "resumed", "there", "replaced", "version")
        }
        skipped = [{"name": name, "reason": reason} for name, reason in report.skipped]
        listed = None if report.listed is None else str(report.listed)
        print_json({"bank": str(path), **counts, "skipped": skipped, "reasons": report.reasons, "report": listed})
        return
    for name, reason in report.skipped[:SHOWN]:
        note(f"left out: {name}: {reason}")
    more = sum(report.reasons.values()) - SHOWN
    if more > 0:
        note(f"... and {more:,} more: see {report.listed}")
    print(f"{bank}: {report}")
