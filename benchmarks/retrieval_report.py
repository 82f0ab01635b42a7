"""A report of benchmarks/retrieval.py as a table, and as a picture where matplotlib is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def table(report: dict[str, Any]) -> str:
    """One line an engine; a missing part is a dash."""
    lines = [
        f"{report['about']['n']:,} x {report['about']['dimension']}, k = {report['about']['k']}; ours / raw",
        f"{'':<14}{'queries/s':>19}{'ratio (95 %)':>24}{'recall@10':>17}{'1 query, us':>19}{'added us (95 %)':>24}"
        f"{'build, s':>19}{'MiB':>15}",
    ]
    for name, parts in report["engines"].items():
        batch, single, build = (parts.get(part) for part in ("batch", "single", "build"))
        line = f"{name:<14}"
        line += _of(batch, 19, lambda b: f"{b['ours_qps']:,.0f} / {b['raw_qps']:,.0f}")
        line += _of(batch, 24, lambda b: f"{b['ratio']:.3f} ({b['interval'][0]:.3f} .. {b['interval'][1]:.3f})")
        line += _of(batch, 17, lambda b: f"{b['ours_recall']:.4f} / {b['raw_recall']:.4f}")
        line += _of(single, 19, lambda s: f"{s['ours_us']:,.0f} / {s['raw_us']:,.0f}")
        line += _of(single, 24, lambda s: f"{s['added_us']:.0f} ({s['added_interval'][0]:.0f} .. {s['added_interval'][1]:.0f})")
        line += _of(build, 19, lambda b: f"{b['ours_s']:,.1f} / {b['raw_s']:,.1f}")
        line += _of(build, 15, lambda b: f"{b['ours_bytes'] / 2**20:,.0f} / {b['raw_bytes'] / 2**20:,.0f}")
        lines.append(line)
    for name, parts in report["engines"].items():
        if "startup" in parts:
            start = parts["startup"]
            lines.append(
                f"{name}, mapped, {start['bytes'] / 2**20:,.0f} MiB: opened in {start['cold_open_s']:.3f} s and first query "
                f"{start['cold_first_query_s']:.3f} s, not in memory; {start['warm_open_s']:.3f} s and "
                f"{start['warm_first_query_s']:.3f} s, in memory"
            )
    lines.append(f"{'growth':<14}{'rows':>12}{'64 queries, ms':>17}{'1 query, us':>15}{'add 1,000, s':>15}")
    for name, parts in report["engines"].items():
        for size, grown in _growth(parts):
            lines.append(
                f"{name:<14}{size:>12,}{grown['batch_ms']:>17,.1f}{grown['single_us']:>15,.0f}{grown['add_1000_s']:>15.3f}"
            )
    return "\n".join(lines)


def plot(report: dict[str, Any], path: Path) -> None:
    """Search and add over the number of rows; nothing where matplotlib is not there."""
    try:
        import matplotlib
    except ImportError:
        return
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.6), constrained_layout=True)
    for axis, key, label in (
        (axes[0], "batch_ms", "64 queries, milliseconds"),
        (axes[1], "add_1000_s", "adding 1,000 rows, seconds"),
    ):
        for name, parts in report["engines"].items():
            grown = _growth(parts)
            axis.plot([size for size, _ in grown], [one[key] for _, one in grown], marker="o", label=name)
        axis.set(xscale="log", yscale="log", xlabel="rows", ylabel=label)
        axis.grid(alpha=0.3)
    axes[0].legend()
    figure.suptitle(f"{report['about']['dimension']} dimensions, k = {report['about']['k']}, through Calumma's interface")
    figure.savefig(path, dpi=150)


def _of(part: dict[str, Any] | None, width: int, text: Any) -> str:
    return f"{'-' if part is None else text(part):>{width}}"


def _growth(parts: dict[str, Any]) -> list[tuple[int, dict[str, Any]]]:
    return sorted((int(name.partition("-")[2]), part) for name, part in parts.items() if name.startswith("growth-"))
