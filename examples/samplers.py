"""Draws six prompts under six samplers, with the same seeds, and lays all on one sheet: `make samplers`."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import PIL.Image
import PIL.ImageDraw
from rich.progress import track

import calumma

PROMPTS = [
    "police officer, twitter style",
    "grinning face, noto style",
    "sun with face, openmoji style",
    "cat face, openmoji style",
    "red heart, twitter style",
    "red apple, noto style",
]
COOL = {"temperature": 0.4, "guidance": 1.5}
GUIDED = {"temperature": 0.4, "guidance": 1.0, "top_p": 1.0}
SAMPLERS = {
    "greedy, guidance 1.5": ("sampling/nucleus", {"temperature": 0.0, "guidance": 1.5}),
    "nucleus 0.9, t 0.4, guidance 1.5": ("sampling/nucleus", {"top_p": 0.9, **COOL}),
    "the same by jacobi": ("sampling/jacobi", {"top_p": 0.9, "window": 8, **COOL}),
    "min-p 0.1": ("sampling/nucleus", {"top_p": 1.0, **COOL, "rules": [{"use": "sampling/min-p", "min_p": 0.1}]}),
    "contrastive (CD-K, k = 1)": ("sampling/nucleus", {**GUIDED, "rules": [{"use": "sampling/contrastive", "k": 1}]}),
    "nucleus 0.9, t 1, guidance 3": ("sampling/nucleus", {"top_p": 0.9, "temperature": 1.0, "guidance": 3.0}),
}
CELL, MARGIN, LEFT, TOP = 96, 6, 210, 30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/images/samplers.png"))
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    size = (LEFT + len(PROMPTS) * (CELL + MARGIN), TOP + len(SAMPLERS) * (CELL + MARGIN))
    sheet = PIL.Image.new("RGB", size, "white")
    pen = PIL.ImageDraw.Draw(sheet)
    for column, prompt in enumerate(PROMPTS):
        pen.text((LEFT + column * (CELL + MARGIN), 8), prompt.partition(",")[0], fill="black")
    with calumma.load(device="cpu") as pipeline:
        for row, (name, (id, options)) in enumerate(track(SAMPLERS.items(), description="drawing")):
            pipeline.sampler = calumma.component(id, **options)
            begun = time.perf_counter()
            results = [pipeline.generate(prompt, seed=arguments.seed) for prompt in PROMPTS]
            pen.text((8, TOP + row * (CELL + MARGIN) + CELL // 2 - 12), name, fill="black")
            print(f"{name}: {(time.perf_counter() - begun) / len(PROMPTS):.2f} s a picture")
            for column, result in enumerate(results):
                picture = result.images[0].resize((CELL, CELL), PIL.Image.Resampling.NEAREST)
                sheet.paste(picture, (LEFT + column * (CELL + MARGIN), TOP + row * (CELL + MARGIN)))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(arguments.out)
    print(arguments.out.resolve())


if __name__ == "__main__":
    main()
