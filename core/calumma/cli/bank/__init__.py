"""calumma bank: memory banks, from a source to documents that are found; one file for what belongs together."""

from __future__ import annotations

import typer

from calumma.cli.bank.inspecting import describe_bank, verify_bank
from calumma.cli.bank.keeping import compact_bank, export_bank
from calumma.cli.bank.searching import search_bank
from calumma.cli.bank.tuning import tune_bank
from calumma.cli.bank.writing import add_to_bank, build_bank, remove_from_bank, upsert_into_bank

app = typer.Typer(name="bank", help="Build, change, search, check and tune memory banks.", no_args_is_help=True)
app.command("build")(build_bank)
app.command("add")(add_to_bank)
app.command("upsert")(upsert_into_bank)
app.command("remove")(remove_from_bank)
app.command("search")(search_bank)
app.command("info")(describe_bank)
app.command("verify")(verify_bank)
app.command("compact")(compact_bank)
app.command("export")(export_bank)
app.command("tune")(tune_bank)
