"""calumma bank info, verify: what a bank holds, and whether it is whole."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from calumma.cli.bank.arguments import BankArgument, JsonOption, VersionOption, bank_folder, open_bank
from calumma.cli.output import note, print_json


def describe_bank(
    bank: BankArgument,
    at: VersionOption = None,
    versions: Annotated[bool, typer.Option("--versions", help="List its versions instead.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Say what a bank holds, and who embedded it."""
    from calumma.documents.printing import printable

    opened = open_bank(bank, at)
    if versions:
        found = opened.versions()
        if as_json:
            print_json({"versions": found})
            return
        for one in found:
            print(f"{one['version']:>6}  {one['written']}  {one['documents']:,} documents")
        return
    facts = opened.facts()
    if as_json:
        print_json(facts)
        return
    for name, value in facts.items():
        print(printable(f"{name:<10} {value}"))


def verify_bank(bank: BankArgument, at: VersionOption = None, as_json: JsonOption = False) -> None:
    """Read every byte of a bank and its indexes, and say whether all is what was written; exit code 1 where it is not."""
    from calumma.bank.verify import verify

    path = bank_folder(bank)
    verdict = verify(path, at)
    if as_json:
        facts = {"version": verdict.version, "documents": verdict.documents, "files": verdict.files}
        print_json({"whole": verdict.whole, **facts, "damage": verdict.damage, "unrecorded": verdict.unrecorded})
    else:
        for sentence in verdict.damage:
            note(sentence)
        if verdict.unrecorded:
            note(
                f"{len(verdict.unrecorded)} files have no checksum (an older Calumma wrote them, or a writer was killed): "
                "only their form was checked."
            )
        state = "whole" if verdict.whole else "DAMAGED"
        print(f"{bank}: {state}; version {verdict.version}, {verdict.documents:,} documents, {verdict.files} files compared.")
    if not verdict.whole:
        sys.exit(1)
