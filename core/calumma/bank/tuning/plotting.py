"""pareto.png: recall against speed, one colour a retriever, the Pareto front, what was asked for and what was chosen."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path
from typing import TYPE_CHECKING

from calumma.bank.tuning.result import Row, Tuning
from calumma.documents.pictures import write_bytes
from calumma.errors import ComponentError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F", "#B8A800")  # Okabe and Ito 2008
MARKERS = "osD^vPX*"
GREY = "#444444"


def check_matplotlib() -> None:
    """Raises ComponentError where matplotlib is not installed; asked before anything is measured."""
    if importlib.util.find_spec("matplotlib") is None:
        raise ComponentError("The plot needs matplotlib, which is not installed.", "Run: pip install 'calumma[plots]'")


def plot(tuning: Tuning, path: Path) -> None:
    """Writes the picture. Raises ComponentError without matplotlib, InputError where the file cannot be written."""
    check_matplotlib()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    for i, id in enumerate(sorted({row.retriever for row in tuning.rows})):
        some = [row for row in tuning.rows if row.retriever == id]
        colour, marker = COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]
        x, y = [row.recall for row in some], [row.rate for row in some]
        axes.scatter(x, y, s=34, c=colour, marker=marker, label=id, alpha=0.85, linewidths=0, zorder=3)
    front = tuning.front
    x, y = [row.recall for row in front], [row.rate for row in front]
    axes.plot(x, y, color=GREY, linewidth=1.2, label="Pareto front", zorder=2)
    axes.axvline(tuning.wanted, color=GREY, linestyle="--", linewidth=1, label=f"asked: {tuning.wanted:g}", zorder=1)
    axes.set_yscale("log")
    lowest = min(tuning.wanted, *(row.recall for row in tuning.rows))
    axes.set_xlim(lowest - 0.04 * (1.01 - lowest), 1 + 0.04 * (1.01 - lowest))
    _label(axes, tuning.chosen or tuning.best, "chosen" if tuning.chosen else "best, below what was asked")
    axes.set_xlabel(f"recall@{tuning.k}")
    axes.set_ylabel("queries a second, in batches of 64")
    documents = f"{tuning.bank['documents']:,} documents"
    axes.set_title(
        f"{tuning.bank['name']}, version {tuning.bank['version']}: {documents}, {tuning.queries:,} queries by {tuning.by}"
    )
    axes.grid(which="major", color="#dddddd", linewidth=0.8)
    axes.grid(which="minor", color="#eeeeee", linewidth=0.5)
    axes.set_axisbelow(True)
    axes.legend(loc="lower left", framealpha=0.95)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    write_bytes(path, buffer.getvalue())


def _label(axes: Axes, row: Row, what: str) -> None:
    """A ring round a point, with its options and figures beside it, on the side where there is room."""
    axes.scatter([row.recall], [row.rate], s=190, facecolors="none", edgecolors="black", linewidths=1.8, zorder=4)
    low, high = axes.get_xlim()
    right = row.recall > (low + high) / 2
    options = ", ".join(f"{name}={value}" for name, value in row.options.items())
    said = "\n".join(filter(None, [f"{what}: {row.retriever}", options, f"recall {row.recall:.3f}, {row.rate:,.0f} queries/s"]))
    axes.annotate(
        said,
        (row.recall, row.rate),
        xytext=(-18 if right else 18, 26),
        textcoords="offset points",
        ha="right" if right else "left",
        va="bottom",
        fontsize=9,
        bbox={"boxstyle": "round,pad=0.4", "facecolor": "white", "edgecolor": GREY, "alpha": 0.95},
        arrowprops={"arrowstyle": "-", "color": GREY, "shrinkB": 7},
        zorder=5,
    )
