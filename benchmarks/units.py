"""What one document costs: bytes in a bank and in each index, seconds to embed, to write and to index it.

    python benchmarks/units.py --n 200000 --out benchmarks/results/units.json

benchmarks/scale.py works out from it what a million, a hundred million and five thousand million documents take. Every index
is built over the clustered vectors of benchmarks/retrieval_data.py, saved, and searched in a process of its own, whose memory
is read before and after. Finished parts are kept: a run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from retrieval_data import data, recall, truth

from calumma.bank import Item, Source, build
from calumma.cli.bank.arguments import embedder_of
from calumma.extension import Catalog
from calumma.interfaces import Entries, Query, Retriever

ROOT = Path(__file__).parent.parent
DIMENSION, K, SEED = 512, 10, 0
WORDS = 8  # of a caption, of 8 letters each that nothing foretells
CLIP, CLIP_BATCH, CLIP_BATCHES = "ViT-B-32", 64, 6


def retrievers(n: int) -> dict[str, tuple[str, dict[str, Any]]]:
    """Name -> component and options; lists and codes as their makers advise for so many rows."""
    lists = max(64, int(2 * n**0.5))
    return {
        "exact/flat": ("exact/flat", {}),
        "faiss IVF,Flat": ("faiss/index", {"factory": f"IVF{lists},Flat", "nprobe": 32}),
        "faiss IVF,PQ64": ("faiss/index", {"factory": f"IVF{lists},PQ64", "nprobe": 32}),
        "faiss HNSW32": ("faiss/index", {"factory": "HNSW32", "ef_search": 64}),
        "hnswlib/hnsw": ("hnswlib/hnsw", {"M": 16, "ef_construction": 200, "ef_search": 64}),
        "lance/ivf": ("lance/ivf", {"num_partitions": lists, "nprobes": 32}),
    }


def engine(name: str, n: int, work: Path) -> dict[str, Any]:
    """One retriever over n rows: built and saved here, searched in a process of its own."""
    component, options = retrievers(n)[name]
    rows = data(n, DIMENSION, SEED, work).rows
    folder = work / "indexes" / name.replace("/", "-").replace(" ", "-").replace(",", "-")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    part = Catalog().build("retriever", component, options)
    assert isinstance(part, Retriever)
    begun = time.perf_counter()
    if part.train_rows:
        part.train(np.array(rows[np.linspace(0, n - 1, min(n, part.train_rows)).astype(np.int64)]), n)
    for start in range(0, n, 50_000):
        part.add(Entries(np.arange(start, min(n, start + 50_000)), np.array(rows[start : start + 50_000])))
    part.save(folder)
    built = time.perf_counter() - begun
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    del part
    words = [sys.executable, __file__, "--n", str(n), "--work", str(work), "--search", name, str(folder)]
    told: dict[str, Any] = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
    return {"options": options, "rows": n, "build_s": round(built, 2), "disk_bytes": size, **told}


def search(name: str, folder: Path, n: int, work: Path) -> None:
    """Prints as JSON what a saved index takes to open and to search, alone in this process."""
    component, options = retrievers(n)[name]
    part = Catalog().build("retriever", component, options)
    assert isinstance(part, Retriever)
    vectors = data(n, DIMENSION, SEED, work)
    true = truth(vectors, K, n, work)
    asked = [Query(vector=vector) for vector in vectors.queries]
    before = resident()
    begun = time.perf_counter()
    index = type(part).open(folder, part.options)
    index.search(asked[:1], K)
    opened = time.perf_counter() - begun
    found = np.concatenate([index.search(asked[i : i + 64], K).keys for i in range(0, len(asked), 64)])
    times = []
    for query in asked[:200]:
        begun = time.perf_counter()
        index.search([query], K)
        times.append(time.perf_counter() - begun)
    told = {
        "memory_bytes": resident() - before,
        "open_s": round(opened, 4),
        "query_ms": round(statistics.median(times) * 1e3, 4),
        "recall": round(recall(found, true), 4),
    }
    print(json.dumps(told))


def resident() -> int:
    """Bytes of memory that this process holds."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class Vectors(Source):
    """Documents of captions alone, embedded before: two vectors each, drawn at random."""

    name, embedded = "vectors", True

    def __init__(self, documents: int, dimension: int) -> None:
        draw = np.random.default_rng(SEED)
        self.vectors = draw.standard_normal((documents, 2, dimension), np.float32)
        self.vectors /= np.linalg.norm(self.vectors, axis=2, keepdims=True)

    def __iter__(self) -> Iterator[Item]:
        letters = np.random.default_rng(SEED).integers(97, 123, (len(self.vectors), WORDS, 8), np.uint8)
        for i, (text, image) in enumerate(self.vectors):
            caption = " ".join(bytes(word).decode() for word in letters[i])
            yield Item(str(i), caption, None, f"{i:08d}", {}, text, image)


def bank(documents: int, work: Path) -> dict[str, Any]:
    """Documents whose vectors are there already into a bank: bytes and seconds, without pictures and without embedding."""
    embedder = embedder_of("starter", None, None, None)
    embedder.warm_up()
    source, place = Vectors(documents, embedder.dimension), work / "bank"
    shutil.rmtree(place, ignore_errors=True)
    begun = time.perf_counter()
    build(source, place, embedder, progress=False)
    taken = time.perf_counter() - begun
    size = sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
    shutil.rmtree(place)
    return {
        "documents": documents,
        "dimension": embedder.dimension,
        "caption_bytes": 9 * WORDS - 1,
        "build_s": round(taken, 2),
        "bytes": size,
    }


def embed() -> dict[str, Any]:
    """Documents a second through a CLIP of common size with random weights, caption and picture, on this processor."""
    import open_clip
    import torch

    model = open_clip.create_model(CLIP).eval()
    pictures, words = torch.randn(CLIP_BATCH, 3, 224, 224), open_clip.get_tokenizer(CLIP)(["a caption"] * CLIP_BATCH)
    times = []
    with torch.inference_mode():
        for _ in range(CLIP_BATCHES + 1):
            begun = time.perf_counter()
            model.encode_image(pictures)
            model.encode_text(words)
            times.append(time.perf_counter() - begun)
    return {"model": CLIP, "documents_per_s": round(CLIP_BATCH / statistics.median(times[1:]), 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=200_000, help="rows of each index")
    parser.add_argument("--documents", type=int, default=50_000, help="of the bank")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "units.json")
    parser.add_argument("--work", type=Path, help="where vectors and indexes are kept; by default among temporary files")
    parser.add_argument("--fresh", action="store_true", help="measure again what an earlier run finished")
    parser.add_argument("--search", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    work = given.work or Path(tempfile.gettempdir()) / f"calumma-units-{given.n}"
    if given.search:
        search(given.search[0], Path(given.search[1]), given.n, work)
        return
    report: dict[str, Any] = json.loads(given.out.read_text()) if given.out.exists() and not given.fresh else {}
    report |= {"dimension": DIMENSION, "k": K, "cpus": os.cpu_count(), "python": platform.python_version()}
    report.setdefault("engines", {})
    truth(data(given.n, DIMENSION, SEED, work), K, given.n, work)
    for name in retrievers(given.n):
        _part(given.out, report, report["engines"], name, partial(engine, name, given.n, work))
    _part(given.out, report, report, "bank", partial(bank, given.documents, work))
    _part(given.out, report, report, "embed", embed)


def _part(out: Path, report: dict[str, Any], place: dict[str, Any], key: str, measure: Callable[[], dict[str, Any]]) -> None:
    """Measures a part that is not there yet, and writes all that is."""
    if key in place:
        return
    place[key] = measure()
    print(f"{key:<16} {json.dumps(place[key])}", flush=True)
    unfinished = out.with_suffix(".part")
    unfinished.write_text(json.dumps(report, indent=2) + "\n")
    unfinished.replace(out)


if __name__ == "__main__":
    main()
