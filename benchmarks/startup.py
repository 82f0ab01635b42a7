"""How long a command takes that only looks, against importing the libraries that any such command needs.

    python benchmarks/startup.py --out benchmarks/results/startup.json

Runs are interleaved, so that a busy machine slows all alike; the first round warms up and is not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
BASELINE = "import typer, pydantic, yaml, rich"
COMMANDS = {
    BASELINE: ["-c", BASELINE],
    "calumma --help": ["-m", "calumma", "--help"],
    "calumma plugins list": ["-m", "calumma", "plugins", "list"],
    "calumma registry validate": ["-m", "calumma", "registry", "validate", str(ROOT / "registry.yaml")],
}


def seconds(words: list[str]) -> float:
    """Wall-clock time of one run of Python, in seconds."""
    started = time.perf_counter()
    subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=11, help="counted rounds")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "startup.json")
    arguments = parser.parse_args()
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for round in range(arguments.rounds + 1):
        for name, words in COMMANDS.items():
            taken = seconds(words)
            if round:
                times[name].append(taken)
    medians = {name: statistics.median(values) for name, values in times.items()}
    report = {
        "what": "median wall-clock seconds of a process, and its ratio to the baseline",
        "baseline": BASELINE,
        "rounds": arguments.rounds,
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "results": {
            name: {"seconds": round_to(median), "ratio": round_to(median / medians[BASELINE])}
            for name, median in medians.items()
        },
    }
    for name, result in report["results"].items():
        print(f"{name:<40} {result['seconds']:7.3f} s  {result['ratio']:6.2f} x")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    partial = arguments.out.with_suffix(".part")
    partial.write_text(json.dumps(report, indent=2) + "\n")
    partial.replace(arguments.out)


def round_to(value: float) -> float:
    return round(value, 3)


if __name__ == "__main__":
    main()
