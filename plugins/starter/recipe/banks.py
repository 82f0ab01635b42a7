"""Build the two banks of the starter from the image folders, embedded and encoded by the shipped weights.

Built through the catalog with `starter:` assets, so that a bank names its embedder as any installation finds it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from calumma.bank import Bank, ImageFolder, add_tokens, build
from calumma.extension import Catalog
from fetch import WORK

ASSETS = Path(__file__).resolve().parents[1] / "calumma_starter/assets"
NAMES = ("memory", "held-out")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--out", type=Path, default=ASSETS)
    parser.add_argument("--only", choices=NAMES, help="build one of the two")
    args = parser.parse_args()
    catalog = Catalog()
    embedder = catalog.build("embedder", "openclip/clip", {"weights": "starter:embedder.safetensors"})
    tokenizer = catalog.build("image_tokenizer", "taming/vqgan", {"weights": "starter:tokenizer.safetensors"})
    for part in (embedder, tokenizer):
        part.warm_up("cpu", "float32")
    for name in (args.only,) if args.only else NAMES:
        print(name, build(ImageFolder(args.work / "folder" / name), args.out / name, embedder, overwrite=True))
        bank = add_tokens(Bank.open(args.out / name), tokenizer)
        size = sum(file.stat().st_size for file in (args.out / name).rglob("*") if file.is_file())
        print(f"{name}: {len(bank)} documents, {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
