"""Passes and wall time of speculative Jacobi decoding against one id a pass, on the starter at its registry's rules.

    python benchmarks/jacobi.py --rounds 5 --out benchmarks/results/jacobi.json

All draw from the same distribution (tests/decoding/test_distribution.py). Runs are interleaved over the same prompts and seeds.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from pathlib import Path
from typing import Any

import torch

import calumma
from calumma.interfaces import Progress, Sampler

ROOT = Path(__file__).parent.parent
RULES = {"temperature": 0.4, "top_p": 0.9, "guidance": 1.5}
SAMPLERS = {
    "one id a pass": ("sampling/nucleus", {}),
    "jacobi, window 8": ("sampling/jacobi", {"window": 8, "coupled": False}),
    "coupled, window 8": ("sampling/jacobi", {"window": 8}),
    "coupled, window 16": ("sampling/jacobi", {"window": 16}),
}
PROMPTS = ["police officer, twitter style", "sun with face, openmoji style", "red heart, twitter style", "pizza, fluent style"]


def sampler_of(id: str, options: dict[str, Any]) -> Sampler:
    """A sampler by its component id."""
    part = calumma.component(id, **options)
    assert isinstance(part, Sampler)
    return part


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="counted rounds, a seed each")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "jacobi.json")
    given = parser.parse_args()
    samplers = {name: sampler_of(id, {**RULES, **more}) for name, (id, more) in SAMPLERS.items()}
    passes: dict[str, list[int]] = {name: [] for name in samplers}
    times: dict[str, list[float]] = {name: [] for name in samplers}
    with calumma.load(device="cpu") as pipeline:
        for seed in range(given.rounds + 1):
            for prompt in PROMPTS:
                for name, sampler in samplers.items():
                    seen: list[Progress] = []
                    pipeline.sampler = sampler
                    begun = time.perf_counter()
                    result = pipeline.generate(prompt, seed=seed, on_progress=seen.append)
                    if seed:
                        times[name].append(result.timings.get("draw", time.perf_counter() - begun))
                        passes[name].append(seen[-1].passes)
    plain = "one id a pass"
    rows: dict[str, Any] = {}
    for name in samplers:
        ratios = [a / b for a, b in zip(times[name], times[plain], strict=True)]
        rows[name] = {
            "passes": round(statistics.mean(passes[name]), 1),
            "share_of_passes": round(statistics.mean(passes[name]) / statistics.mean(passes[plain]), 3),
            "share_of_time": round(statistics.median(ratios), 3),
        }
        print(f"{name:<20} {rows[name]['passes']:6.1f} passes, {rows[name]['share_of_passes']:.2f} of them, "
              f"{rows[name]['share_of_time']:.2f} of the time")  # fmt: skip
    report = {
        "what": "passes and wall time of drawing a picture of 64 ids, as a share of drawing id by id",
        "pictures": given.rounds * len(PROMPTS),
        "rules": RULES,
        "samplers": rows,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
    }
    partial = given.out.with_suffix(".part")
    partial.write_text(json.dumps(report, indent=2) + "\n")
    partial.replace(given.out)


if __name__ == "__main__":
    main()
