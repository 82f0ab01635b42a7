"""pareto.png: recall against speed, one colour a retriever, the Pareto front, what was asked for and what was chosen."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from calumma.bank.tuning.result import Row, Tuning
from calumma.documents.pictures import write_bytes
from calumma.documents.printing import printable
from calumma.errors import ComponentError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F", "#B8A800")  # Okabe and Ito 2008
MARKERS = "osD^vPX*"
GREY = "#444444"
SHARPEST = 1.002  # recalls above 0.998 lie close together
TICKS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 1.0)


def check_matplotlib() -> None:
    """Raises ComponentError where matplotlib is not installed; asked before anything is measured."""
    if importlib.util.find_spec("matplotlib") is None:
        raise ComponentError("The plot needs matplotlib, which is not installed.", "Run: pip install 'calumma[plots]'")


def plot(tuning: Tuning, path: Path) -> None:
    """Writes the picture. Raises ComponentError without matplotlib, InputError where the file cannot be written."""
    check_matplotlib()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 6), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    ids = sorted({row.retriever for row in tuning.rows})
    for i, id in enumerate(ids):
        some = [row for row in tuning.rows if row.retriever == id]
        colour, marker = COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]
        x, y = [row.recall for row in some], [row.rate for row in some]
        above = 3 + 1 / len(some)  # those with few points are not hidden by those with many
        axes.scatter(x, y, s=36, c=colour, marker=marker, label=id, alpha=0.75, linewidths=0, zorder=above)
    axes.axvline(tuning.wanted, color=GREY, linestyle="--", linewidth=1, label=f"asked: {tuning.wanted:g}", zorder=1)
    _scale(axes, tuning)
    _front(axes, tuning.front)
    _label(axes, tuning.chosen or tuning.best, "chosen" if tuning.chosen else "best, and below what was asked")
    axes.set_xlabel(f"recall@{tuning.k}")
    axes.set_ylabel("queries a second, in batches of 64")
    bank = f"{printable(tuning.bank['name'])}, version {tuning.bank['version']}: {tuning.bank['documents']:,} documents"
    axes.set_title(f"{bank}, {tuning.queries:,} queries by {tuning.by}", parse_math=False)
    axes.grid(color="#dddddd", linewidth=0.8)
    axes.grid(which="minor", axis="y", color="#eeeeee", linewidth=0.5)
    axes.set_axisbelow(True)
    figure.legend(loc="outside right upper", frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    write_bytes(path, buffer.getvalue())


def _scale(axes: Axes, tuning: Tuning) -> None:
    """Speed by its logarithm, with room above for the label; recall by that of what is missed, which spreads what is near 1."""
    import numpy as np

    axes.set_xscale("function", functions=(lambda x: -np.log10(np.maximum(SHARPEST - x, 1e-9)), lambda y: SHARPEST - 10**-y))
    lowest = min(tuning.wanted, *(row.recall for row in tuning.rows))
    ticks = [one for one in TICKS if one > lowest]
    axes.set_xticks(ticks, [f"{one:g}" for one in ticks])
    axes.set_xlim(max(0.0, lowest - 0.15 * (SHARPEST - lowest)), SHARPEST - 0.0008)
    rates = [row.rate for row in tuning.rows]
    axes.set_yscale("log")
    span = max(max(rates) / min(rates), 10.0)
    axes.set_ylim(min(rates) / span**0.06, max(rates) * span**0.35)


def _front(axes: Axes, front: Sequence[Row]) -> None:
    """A stair: at each recall the most queries a second that can be had with it."""
    x, y = [axes.get_xlim()[0]], list[float]()
    for row in front:
        x += [row.recall, row.recall]
        y += [row.rate, row.rate]
    axes.plot(x, [*y, axes.get_ylim()[0]], color=GREY, linewidth=1.2, label="Pareto front", zorder=2)


def _label(axes: Axes, row: Row, what: str) -> None:
    """A ring round a point, and in the room above all points, on its side, its options and figures."""
    axes.scatter([row.recall], [row.rate], s=190, facecolors="none", edgecolors="black", linewidths=1.8, zorder=4)
    right = axes.transAxes.inverted().transform(axes.transData.transform((row.recall, row.rate)))[0] > 0.5
    axes.annotate(
        f"{what}: {row.label}\nrecall {row.recall:.3f}, {row.rate:,.0f} queries a second",
        (row.recall, row.rate),
        xytext=(0.985 if right else 0.015, 0.97),
        textcoords="axes fraction",
        ha="right" if right else "left",
        va="top",
        fontsize=9,
        bbox={"boxstyle": "round,pad=0.4", "facecolor": "white", "edgecolor": GREY},
        arrowprops={"arrowstyle": "-", "color": GREY, "shrinkB": 7},
        zorder=5,
        parse_math=False,
    )
