"""Draws prompts with and without retrieved documents, and lays both side by side on one sheet."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from rich.progress import track

import calumma
from calumma.documents.pictures import write_png
from calumma.pipeline.sheet import contact_sheet

PROMPTS = [
    "police officer, twitter style",
    "grinning face, noto style",
    "sun with face, openmoji style",
    "cat face, openmoji style",
    "eight o’clock, twitter style",
    "flag: france, noto style",
    "blue circle, fluent style",
    "red heart, twitter style",
    "red apple, noto style",
    "pizza, fluent style",
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/demo"))
    parser.add_argument("-n", type=int, default=4, help="drawings per prompt")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    sheets = {}
    for name in ("default", "no-retrieval"):
        with calumma.load(pipeline=name) as pipeline:
            results = [
                pipeline.generate(prompt, n=arguments.n, seed=arguments.seed)
                for prompt in track(PROMPTS, description=f"drawing ({name})")
            ]
        for result in results:
            result.save(arguments.out / name)
        title = "With retrieved documents (left)" if name == "default" else "The same prompts and seeds without retrieval"
        sheets[name] = arguments.out / f"{name}.png"
        write_png(sheets[name], np.asarray(contact_sheet(results, title)))
    for name, path in sheets.items():
        print(f"{name:>14}: {path.resolve()}")


if __name__ == "__main__":
    main()
