"""Build the starter corpus: pictures as one lossless array, words as JSON lines, splits, and a report of what was dropped.

Writes `corpus.jsonl`, `images.npy` (uint8 [N, 64, 64, 3]) and `report.json`; `--folders` also writes the two image
folders that the banks are built from.
"""

from __future__ import annotations

import argparse
import json
import os
from collections import Counter, defaultdict
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from fetch import WORK, fetch
from sources import Record, load_file, read_records
from splits import assign, name_leaks, picture_leaks

HELD_OUT = ("unseen", "new-style")


@dataclass(frozen=True)
class Corpus:
    """Rows and pictures, index by index."""

    rows: list[dict]
    images: np.ndarray

    def indices(self, *splits: str) -> np.ndarray:
        """Row numbers of the given splits."""
        return np.array([i for i, row in enumerate(self.rows) if row["split"] in splits], dtype=np.int64)


def load_corpus(work: Path = WORK) -> Corpus:
    """Open what `build` wrote; pictures are memory-mapped."""
    rows = [json.loads(line) for line in (work / "corpus.jsonl").read_text().splitlines()]
    return Corpus(rows, np.load(work / "images.npy", mmap_mode="r"))


def write_whole(path: Path, text: str) -> None:
    """Write a text file so that readers see all of it or nothing."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text)
    partial.rename(path)


def _row(record: Record, split: str) -> dict:
    return {
        "id": record.id,
        "text": record.caption,
        "name": record.name,
        "style": record.style,
        "concept": record.concept,
        "tags": record.tags,
        "hexcode": record.hexcode,
        "split": split,
        "licence": record.licence,
    }


def _load(path: Path) -> np.ndarray | None:
    try:
        return load_file(path)
    except Exception as error:  # a broken picture is one row fewer, not the end of the build
        print(f"{path.name}: {error}", flush=True)
        return None


def _is_blank(image: np.ndarray) -> bool:
    return float(image.std()) < 2.0


def build(downloads: Path, work: Path) -> None:
    """Read, split, clean and store the corpus."""
    dropped: Counter[str] = Counter()
    records = read_records(fetch(downloads), dropped)
    paths = [record.load.__defaults__[0] for record in records]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        loaded = list(pool.map(_load, paths, chunksize=64))
    keep = [i for i, image in enumerate(loaded) if image is not None and not _is_blank(image)]
    dropped["unreadable or blank picture"] = len(loaded) - len(keep)
    records = [records[i] for i in keep]
    images = np.stack([loaded[i] for i in keep])
    splits = assign(records)
    drops = name_leaks(records, splits)
    drops.update(picture_leaks(records, splits, images))
    for index, reason in drops.items():
        dropped[f"{records[index].style}: {reason}"] += 1
    keep = [i for i in range(len(records)) if i not in drops]
    trained = {records[i].concept for i in keep if splits[i] == "train"}
    for i in keep:
        if splits[i] == "new-style" and records[i].concept not in trained:
            splits[i] = "unseen"  # the other styles were dropped as too near to an unseen concept
    rows = [_row(records[i], splits[i]) for i in keep]
    work.mkdir(parents=True, exist_ok=True)
    partial = work / "images.partial.npy"
    np.save(partial, images[keep])
    partial.rename(work / "images.npy")
    write_whole(work / "corpus.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    counts: dict[str, Counter] = defaultdict(Counter)
    for row in rows:
        counts[row["style"]][row["split"]] += 1
    report = {
        "pairs": len(rows),
        "splits": dict(Counter(row["split"] for row in rows)),
        "by_style": {style: dict(count) for style, count in counts.items()},
        "concepts": {s: len({r["concept"] for r in rows if r["split"] == s}) for s in ("train", *HELD_OUT)},
        "dropped": dict(sorted(dropped.items())),
    }
    write_whole(work / "report.json", json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


def export_folders(work: Path) -> None:
    """Write `folder/memory` (training split) and `folder/held-out` as WebP files with a metadata.jsonl."""
    corpus = load_corpus(work)
    for name, splits in (("memory", ("train",)), ("held-out", HELD_OUT)):
        target = work / "folder" / name
        target.mkdir(parents=True, exist_ok=True)
        lines = []
        for i in corpus.indices(*splits):
            row = corpus.rows[i]
            file_name = row["id"].replace(":", "-").replace("/", "-") + ".webp"
            Image.fromarray(corpus.images[i]).save(target / file_name, quality=85, method=6)
            meta = {key: row[key] for key in ("id", "text", "concept", "style", "split", "licence")}
            lines.append(json.dumps({"file_name": file_name, **meta, "tags": ", ".join(row["tags"])}) + "\n")
        write_whole(target / "metadata.jsonl", "".join(lines))
        print(f"{target}: {len(lines)} pictures")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--downloads", type=Path, default=WORK / "downloads", help="cache folder for the archives")
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--folders", action="store_true", help="write the image folders for the banks instead")
    args = parser.parse_args()
    if args.folders:
        export_folders(args.work)
    else:
        build(args.downloads, args.work)


if __name__ == "__main__":
    main()
