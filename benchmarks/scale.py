"""What 1 M, 100 M and 5,000 M documents take, worked out from what benchmarks measured: writes docs/scale.md.

    python benchmarks/scale.py --out docs/scale.md

Reads benchmarks/results/units.json (benchmarks/units.py) and retrieval-1m.json (`make bench-1m`); measures nothing itself.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from math import ceil, log, sqrt
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
SIZES = {"1 M": 10**6, "100 M": 10**8, "5,000 M": 5 * 10**9}
PICTURE, CAPTION, DIMENSION = 12_000, 80, 512
MEMORY, DISK, CORES = 256e9, 7.68e12, 64  # of one machine
USABLE = 0.75  # of its memory and disk


@dataclass(frozen=True)
class Cost:
    """Of one retriever at one size. Bytes, seconds of one core, seconds of a query, machines."""

    memory: float
    disk: float
    build: float
    query: float
    machines: int


def cost(name: str, unit: dict[str, Any], n: int, cores: int) -> Cost:
    """Bytes grow with the rows; a query as the engine's structure says, from what one took at the size that was measured."""
    grown = n / unit["rows"]
    memory, disk = unit["memory_bytes"] * grown, unit["disk_bytes"] * grown
    build = unit["build_s"] * cores * grown
    if name.startswith("exact"):
        query = unit["query_ms"] * grown
    elif "HNSW" in name or "hnsw" in name:
        query = unit["query_ms"] * log(n) / log(unit["rows"])
        build *= log(n) / log(unit["rows"])
    else:  # lists grow with the root of the rows, and a query visits as many lists as before
        query = unit["query_ms"] * sqrt(grown)
        build *= sqrt(grown)
    if name == "lance/ivf":  # its memory is a cache of what searches read, not of the rows
        memory = min(memory, unit["memory_bytes"] * sqrt(grown))
    machines = max(ceil(memory / MEMORY / USABLE), ceil(disk / DISK / USABLE), 1)
    return Cost(memory, disk, build, query / machines / 1e3, machines)


def page(units: dict[str, Any], million: dict[str, Any]) -> str:
    """The whole page: the template with what was measured, and what follows from it."""
    bank, embed, engines, cores = units["bank"], units["embed"], units["engines"], units["cpus"]
    codes = cost("faiss IVF,PQ64", engines["faiss IVF,PQ64"], SIZES["5,000 M"], cores)
    return (
        (ROOT / "benchmarks" / "scale_template.md")
        .read_text(encoding="utf-8")
        .format(
            cores=cores,
            dimension=DIMENSION,
            rows=f"{next(iter(engines.values()))['rows']:,}",
            k=units["k"],
            engines=_measured(engines, cores),
            bank_dimension=bank["dimension"],
            bank_caption=bank["caption_bytes"],
            bank_bytes=round(bank["bytes"] / bank["documents"]),
            write_ms=f"{bank['build_s'] / bank['documents'] * 1e3:.2f}",
            model=embed["model"],
            embed_ms=f"{1e3 * cores / embed['documents_per_s']:.0f}",
            embed_rate=f"{embed['documents_per_s']:.1f}",
            million=_million(million),
            picture=size(PICTURE),
            caption=CAPTION,
            banks=_banks(bank, embed["documents_per_s"] / cores),
            machine_memory=size(MEMORY),
            machine_disk=size(DISK),
            usable=f"{USABLE:.0%}",
            machine_cores=CORES,
            indexes=_indexes(engines, cores),
            codes=size(codes.memory),
            machines=codes.machines,
        )
    )


def _measured(engines: dict[str, Any], cores: int) -> str:
    rows = [
        [
            name,
            f"{unit['memory_bytes'] / unit['rows']:,.0f}",
            f"{unit['disk_bytes'] / unit['rows']:,.0f}",
            f"{unit['build_s'] * cores / unit['rows'] * 1e3:.2f}",
            f"{unit['query_ms']:.2f}",
            f"{unit['recall']:.3f}",
        ]
        for name, unit in engines.items()
    ]
    return table(["retriever", "bytes of memory", "bytes on disk", "core-ms to build", "query, ms", "recall@10"], rows)


def _million(million: dict[str, Any]) -> str:
    rows = [
        [
            name,
            f"{parts['build']['ours_s']:,.0f}",
            f"{parts['build']['ours_bytes'] / 2**20:,.0f}",
            f"{parts['batch']['ours_ms']:,.1f}",
            f"{parts['single']['ours_us'] / 1e3:,.2f}",
            f"{parts['batch']['ours_recall']:.3f}",
        ]
        for name, parts in million["engines"].items()
        if {"build", "batch", "single"} <= parts.keys()
    ]
    return table(["engine", "build, s", "MiB on disk", "64 queries, ms", "1 query, ms", "recall@10"], rows)


def _banks(bank: dict[str, Any], documents_per_core: float) -> str:
    vectors, rows = 2 * 4 * DIMENSION, list[list[str]]()
    for label, n in SIZES.items():
        disk = n * (PICTURE + CAPTION + vectors)
        embedding = duration(n / documents_per_core / CORES)
        rows.append([label, size(disk), size(n * vectors), embedding, duration(n * bank["build_s"] / bank["documents"])])
    return table(["documents", "disk", "of it vectors", f"embedding on {CORES} cores", "writing, one worker"], rows)


def _indexes(engines: dict[str, Any], cores: int) -> str:
    rows = []
    for label, n in SIZES.items():
        for name, unit in engines.items():
            one = cost(name, unit, n, cores)
            built, query = duration(one.build / CORES), duration(one.query)
            rows.append([label, name, size(one.memory), size(one.disk), built, query, f"{one.machines:,}"])
    return table(["documents", "retriever", "memory", "disk", f"build on {CORES} cores", "query", "machines"], rows)


def table(head: list[str], rows: list[list[str]]) -> str:
    """Markdown."""
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])


def size(count: float) -> str:
    """Bytes in the unit that people would say."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} PB"


def duration(seconds: float) -> str:
    """In the unit that people would say."""
    for unit, span in (("ms", 1e-3), ("s", 1.0), ("min", 60.0), ("h", 3600.0), ("days", 86400.0), ("years", 3.15576e7)):
        limit = {"ms": 1.0, "s": 90.0, "min": 5400.0, "h": 172800.0, "days": 2 * 3.15576e7, "years": float("inf")}[unit]
        if seconds < limit:
            return f"{seconds / span:.3g} {unit}"
    return ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "scale.md")
    given = parser.parse_args()
    read = {name: json.loads((given.results / f"{name}.json").read_text()) for name in ("units", "retrieval-1m")}
    given.out.write_text(page(read["units"], read["retrieval-1m"]), encoding="utf-8")


if __name__ == "__main__":
    main()
