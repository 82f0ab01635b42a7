"""Images a second into a bank, against open_clip called directly in a loop that decodes in parallel.

    python benchmarks/ingest.py --documents 2000 --rounds 7 --out benchmarks/results/ingest.json

Both embed texts and pictures of the starter's corpus with the starter's CLIP, in batches of 64, with as many threads that
decode as there are cores. The peer keeps its vectors in memory and writes them with numpy at the end; ours also checks, hashes
and stores the documents. Runs are interleaved; the first pair warms up and is not counted. A second part builds from growing
folders and prints the peak memory.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from peak import peak_mib

ROOT = Path(__file__).parent.parent
BATCH, THREADS = 64, os.cpu_count() or 1


def corpus(folder: Path, documents: int) -> Path:
    """Pictures of the starter's memory bank as files, with metadata.jsonl; repeated under other captions where too few."""
    import calumma
    from calumma.extension import Catalog

    bank = calumma.Bank.open(Catalog().resolve_asset("starter:memory"))
    rows = bank.rows(bank.keys[: min(documents, len(bank))], ["text", "image"]).to_pylist()
    folder.mkdir(parents=True)
    with (folder / "metadata.jsonl").open("w", encoding="utf-8") as lines:
        for i in range(documents):
            row = rows[i % len(rows)]
            name = f"{i:07d}.webp"
            (folder / name).write_bytes(row["image"])
            lines.write(json.dumps({"file_name": name, "text": f"{row['text']} {i}", "id": str(i)}) + "\n")
    return folder


def embedder() -> Any:
    from calumma.cli.bank.arguments import embedder_of

    part = embedder_of("starter", None, None, None)
    part.warm_up()
    return part


def ours(folder: Path, out: Path, part: Any) -> float:
    """Seconds that `build` takes."""
    from calumma.bank import ImageFolder, build

    begun = time.perf_counter()
    build(ImageFolder(folder), out, part, batch=BATCH, progress=False)
    return time.perf_counter() - begun


def peer(folder: Path, out: Path, part: Any) -> float:
    """Seconds that the model, transform and tokenizer of open_clip take in a loop of their own."""
    import torch
    from PIL import Image

    model, transform, tokenizer = part._warm(), part._transform, part._tokenizer
    begun = time.perf_counter()
    lines = [json.loads(line) for line in (folder / "metadata.jsonl").read_text(encoding="utf-8").splitlines()]

    def decoded(line: dict[str, str]) -> torch.Tensor:
        return transform(Image.open(folder / line["file_name"]).convert("RGB"))

    def batches(pool: ThreadPoolExecutor) -> Iterator[tuple[list[str], list[Any]]]:
        ahead: list[Any] = []
        groups = [lines[start : start + BATCH] for start in range(0, len(lines), BATCH)]
        for group in groups:
            ahead.append(([line["text"] for line in group], [pool.submit(decoded, line) for line in group]))
            if len(ahead) > 3:
                yield ahead.pop(0)
        yield from ahead

    texts, images = [], []
    with ThreadPoolExecutor(THREADS) as pool, torch.inference_mode():
        for words, pictures in batches(pool):
            images.append(model.encode_image(torch.stack([one.result() for one in pictures]), normalize=True).numpy())
            texts.append(model.encode_text(tokenizer(words), normalize=True).numpy())
    np.savez(out, texts=np.concatenate(texts), images=np.concatenate(images))
    return time.perf_counter() - begun


def memory(documents: int, scratch: Path) -> dict[str, float]:
    """Peak resident MiB of a process of its own that builds a bank of so many documents."""
    folder = corpus(scratch / f"pictures-{documents}", documents)
    done = subprocess.run(
        [sys.executable, __file__, "--peak", str(folder)], check=True, capture_output=True, text=True, cwd=ROOT
    )
    return {"documents": documents, "peak_mib": round_to(float(done.stdout.strip().splitlines()[-1]))}


def interval(ratios: list[float], draws: int = 4000) -> tuple[float, float]:
    """95 % bootstrap interval of the median."""
    draw = random.Random(0)
    medians = sorted(statistics.median(draw.choices(ratios, k=len(ratios))) for _ in range(draws))
    return medians[int(0.025 * draws)], medians[int(0.975 * draws)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=7, help="counted pairs")
    parser.add_argument(
        "--growth", type=int, nargs="*", default=[4000, 8000, 16000], help="sizes whose peak memory is measured"
    )
    parser.add_argument("--peak", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "ingest.json")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="calumma-ingest-") as scratch:
        if given.peak:
            ours(given.peak, Path(scratch, "bank"), embedder())
            print(peak_mib())
            return
        folder, part = corpus(Path(scratch, "pictures"), given.documents), embedder()
        pairs = []
        for round in range(given.rounds + 1):
            order = [("ours", ours), ("peer", peer)] if round % 2 else [("peer", peer), ("ours", ours)]
            seconds = {name: run(folder, Path(scratch, f"{name}{round}"), part) for name, run in order}
            print(
                f"ours {seconds['ours']:.2f} s, open_clip {seconds['peer']:.2f} s{'' if round else '  (warm-up)'}", flush=True
            )
            if round:
                pairs.append(seconds)
    shares = [one["peer"] / one["ours"] for one in pairs]
    low, high = interval(shares)
    report = {
        "what": "images a second into a bank, as a share of what a loop around open_clip reaches (1 is as fast)",
        "documents": given.documents,
        "rounds": given.rounds,
        "batch": BATCH,
        "share": round_to(statistics.median(shares)),
        "interval_95": [round_to(low), round_to(high)],
        "images_per_second": {
            name: round_to(given.documents / statistics.median(one[name] for one in pairs)) for name in ("ours", "peer")
        },
        "memory": [memory(size, Path(scratch)) for size in given.growth],
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
    }
    print(f"share {report['share']} (95 %: {low:.3f} to {high:.3f}); images a second {report['images_per_second']}")
    for one in report["memory"]:
        print(f"{one['documents']:>7} documents: peak {one['peak_mib']:.0f} MiB")
    given.out.parent.mkdir(parents=True, exist_ok=True)
    partial = given.out.with_suffix(".part")
    partial.write_text(json.dumps(report, indent=2) + "\n")
    partial.replace(given.out)


def round_to(value: float) -> float:
    return round(value, 3)


if __name__ == "__main__":
    main()
