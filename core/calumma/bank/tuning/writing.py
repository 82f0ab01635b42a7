"""What tuning leaves in its folder: the plot, the table twice, everything as JSON, and the registry with the choice."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from calumma.bank.tuning.grid import shown
from calumma.bank.tuning.plotting import plot
from calumma.bank.tuning.result import Row, Tuning
from calumma.documents.pictures import write_bytes
from calumma.documents.printing import printable


@dataclass(frozen=True)
class Written:
    """The files. `registry` is None where nothing was chosen."""

    plot: Path
    csv: Path
    markdown: Path
    json: Path
    registry: Path | None


def columns(k: int) -> list[str]:
    """Of the table that people read."""
    return ["", "retriever", "options", f"recall@{k}", "at least", "alone", "queries/s", "ms a query", "build s", "MiB"]


def cells(tuning: Tuning) -> list[list[str]]:
    """Its rows, the fastest first; `*` is on the Pareto front, `>` is the choice."""
    front, chosen = tuning.front, tuning.chosen
    return [[">" if row is chosen else "*" if row in front else "", *_cells(row)] for row in tuning.rows]


def _cells(row: Row) -> list[str]:
    found = [f"{row.recall:.3f}", f"{row.at_least:.3f}", f"{row.alone:.3f}", f"{row.rate:,.0f}", f"{row.latency:.2f}"]
    return [row.retriever, shown(row.options), *found, f"{row.build_seconds:.1f}", f"{row.index_bytes / 2**20:.1f}"]


def verdict(tuning: Tuning) -> str:
    """One sentence: the choice, or that nothing reaches what was asked for, and what comes nearest."""
    row, asked = tuning.chosen or tuning.best, f"recall@{tuning.k} of {tuning.wanted:g}"
    told = f"{row.recall:.3f} (at least {row.at_least:.3f}) at {row.rate:,.0f} queries/s"
    if tuning.chosen:
        return f"The fastest with a {asked} is {row.label}: {told}."
    return f"No configuration reaches a {asked}; the best is {row.label}: {told}."


def write(tuning: Tuning, folder: Path) -> Written:
    """Writes all files, each whole or not at all; a registry of an earlier run goes where nothing is chosen.

    Raises InputError where a file cannot be written, ComponentError without matplotlib.
    """
    written = Written(
        folder / "pareto.png",
        folder / "table.csv",
        folder / "table.md",
        folder / "tune.json",
        folder / "registry.yaml" if tuning.chosen else None,
    )
    plot(tuning, written.plot)
    write_bytes(written.csv, _csv(tuning).encode())
    write_bytes(written.markdown, _markdown(tuning).encode())
    write_bytes(written.json, (json.dumps(tuning.dump(), indent=1) + "\n").encode())
    if tuning.chosen:
        write_bytes(folder / "registry.yaml", registry(tuning, tuning.chosen).encode())
    else:
        (folder / "registry.yaml").unlink(missing_ok=True)
    return written


def registry(tuning: Tuning, row: Row) -> str:
    """A registry.yaml that has the shipped one's components and the row's configuration as the retriever `tuned`."""
    bank = printable(f"{tuning.bank['name']}, version {tuning.bank['version']}")
    head = f"# Written by calumma bank tune on {bank}.\n# {printable(verdict(tuning))}\n"
    return f"{head}\ncalumma: 1\ninclude: [calumma:registry.yaml]\n\n{row.block()}"


def _csv(tuning: Tuning) -> str:
    """Numbers as they were measured; options as JSON."""
    rows = tuning.dump()["rows"]
    file = io.StringIO()
    table = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
    table.writeheader()
    table.writerows({**row, "options": json.dumps(row["options"])} for row in rows)
    return file.getvalue()


def _markdown(tuning: Tuning) -> str:
    bank = printable(f"{tuning.bank['name']}, version {tuning.bank['version']}: {tuning.bank['documents']:,} documents")
    asked = f"{tuning.queries:,} queries by {tuning.by}, seed {tuning.seed}"
    where = (
        f"{tuning.machine['processor']}, {tuning.machine['cores']} cores; {', '.join(map(' '.join, tuning.versions.items()))}"
    )
    lines = [_line(one) for one in (columns(tuning.k), ["---"] * len(columns(tuning.k)), *cells(tuning))]
    left_out = "".join(f"\n- {printable(str(one))}" for one in tuning.left_out)
    return "\n".join(
        [f"{bank}; {asked}.", "", *lines, "", verdict(tuning), "", where + ".", *([left_out] if left_out else []), ""]
    )


def _line(words: Sequence[str]) -> str:
    return f"| {' | '.join(one.replace('|', chr(92) + '|') for one in words)} |"
