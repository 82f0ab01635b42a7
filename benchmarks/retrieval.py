"""Retrieval through Calumma's interface against the raw libraries, in the same run and on the same index object.

    python benchmarks/retrieval.py --n 100000 --dimension 512 --out benchmarks/results/retrieval-100k.json

For FAISS Flat, IVF, HNSW32 and hnswlib: queries a second and recall@10 of both ways in batches of 64 and one by one, build
times and sizes on disk, the start-up of a saved and mapped IVF index, and how search and add grow with the rows.
Every finished part is written to the JSON at once: a run that was stopped goes on where it was. `--fresh` begins anew.
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
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from retrieval_data import Data, data, recall, truth
from retrieval_engines import THREADS, Engine, engines
from retrieval_report import plot, table
from retrieval_timing import interleaved, seconds

from calumma.interfaces import Entries, Query, Retriever

ROOT = Path(__file__).parent.parent
K, BATCH, SEED = 10, 64, 0
PAIRS, SINGLE_PAIRS = 200, 1000
GROWTH, ADDED = (10_000, 100_000, 1_000_000), 1000
MOST_SECONDS = 120  # of single queries to an engine that scans: pairs beyond the 200 that must be are left out

Part = Callable[[], dict[str, Any]]


class Report:
    """What is finished, as JSON; a part that is there already is not measured again."""

    def __init__(self, path: Path, about: dict[str, Any], *, fresh: bool) -> None:
        self.path, self.content = path, {"about": about, "engines": {}}
        if path.exists() and not fresh:
            before = json.loads(path.read_text())
            if all(before["about"].get(name) == about[name] for name in ("n", "dimension", "seed", "k", "batch")):
                self.content = before

    def part(self, engine: str, name: str, measure: Part) -> dict[str, Any]:
        """The part of an engine: as it was, or measured now and written."""
        parts = self.content["engines"].setdefault(engine, {})
        if name not in parts:
            load, started = os.getloadavg()[0], time.time()
            parts[name] = measure()
            print(f"{time.strftime('%H:%M:%S')}  {engine:<14} {name:<10} {time.time() - started:8.1f} s", flush=True)
            parts[name]["load_before"] = round(load, 1)
            self.write()
        return parts[name]

    def write(self) -> None:
        """The whole file or none of it."""
        self.content["about"]["peak_memory_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_suffix(".part")
        partial.write_text(json.dumps(self.content, indent=2) + "\n")
        partial.replace(self.path)


class Measured:
    """One engine over one set of vectors."""

    def __init__(self, engine: Engine, vectors: Data, n: int, work: Path) -> None:
        self.engine, self.data, self.n, self.work = engine, vectors, n, work
        self.folder = work / engine.name.replace(" ", "-").lower() / str(n)

    def build(self) -> dict[str, Any]:
        """Both ways of building, and what they leave on disk. Ours is kept."""
        rows, options = self.data.rows[: self.n], self.engine.options(self.n)
        started = time.perf_counter()
        index = self.engine.built(rows)
        ours = time.perf_counter() - started
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        index.save(self.folder)
        del index
        started = time.perf_counter()
        raw = self.engine.built_raw(rows)
        raws = time.perf_counter() - started
        alone = self.work / "raw.index"
        self.engine.save_raw(raw, alone)
        sizes = sum(file.stat().st_size for file in self.folder.iterdir()), alone.stat().st_size
        alone.unlink()
        (self.folder / "finished").touch()
        return {
            "options": options.model_dump(exclude_none=True),
            "learned_from": 0 if (sample := self.engine._sample(rows)) is None else len(sample),
            "ours_s": round(ours, 2),
            "raw_s": round(raws, 2),
            "ratio": round(ours / raws, 3),
            "ours_bytes": sizes[0],
            "raw_bytes": sizes[1],
        }

    def opened(self) -> Retriever:
        """Ours, from disk."""
        return self.engine.kind.open(self.folder, self.engine.options(self.n))

    def batches(self, index: Retriever) -> dict[str, Any]:
        """Batches of 64 through the interface and by the raw library, and what both find."""
        groups = self._groups(BATCH)
        asked = [[Query(vector=one) for one in group] for group in groups]
        raw = self.engine.raw(index)
        pairs = interleaved(
            lambda i: index.search(asked[i], K), lambda i: raw(groups[i], K), len(groups), PAIRS, prime=not self.engine.streams
        )
        true = truth(self.data, K, self.n, self.work)[: BATCH * len(groups)]
        ours = np.concatenate([index.search(one, K).keys for one in asked])
        theirs = np.concatenate([self.engine.raw_keys(raw(one, K)) for one in groups])
        medians, ratio = pairs.medians(), pairs.ratio()
        return {
            "pairs": PAIRS,
            "ours_ms": round(medians[0] * 1e3, 4),
            "raw_ms": round(medians[1] * 1e3, 4),
            "ours_qps": round(BATCH / medians[0], 1),
            "raw_qps": round(BATCH / medians[1], 1),
            **ratio,
            "kept": ratio["interval"][0] <= 1.05,
            "ours_recall": round(recall(ours, true), 4),
            "raw_recall": round(recall(theirs, true), 4),
        }

    def singles(self, index: Retriever) -> dict[str, Any]:
        """One query at a time."""
        groups, raw = self._groups(1), self.engine.raw(index)
        asked = [[Query(vector=group[0])] for group in groups]
        one = statistics.median(seconds(lambda: raw(groups[0], K)) for _ in range(5))
        count = max(200, min(SINGLE_PAIRS, int(MOST_SECONDS / one / 2)))
        pairs = interleaved(
            lambda i: index.search(asked[i], K), lambda i: raw(groups[i], K), len(groups), count, prime=not self.engine.streams
        )
        medians, added = pairs.medians(), pairs.added()
        most = max(50.0, 0.05 * medians[1] * 1e6)
        return {
            "pairs": count,
            "ours_us": round(medians[0] * 1e6, 1),
            "raw_us": round(medians[1] * 1e6, 1),
            **added,
            "at_most_us": round(most, 1),
            "kept": added["added_interval"][0] <= most,
        }

    def _groups(self, size: int) -> list[np.ndarray]:
        queries = self.data.queries
        return [np.ascontiguousarray(queries[i : i + size]) for i in range(0, len(queries) - size + 1, size)]

    def growth(self, index: Retriever) -> dict[str, Any]:
        """How long a search and adding 1,000 rows take at this size; the index has more rows afterwards."""
        asked = [[Query(vector=one) for one in group] for group in self._groups(BATCH)]
        batch = statistics.median(seconds(lambda group=group: index.search(group, K)) for group in asked)
        single = statistics.median(seconds(lambda group=group: index.search(group[:1], K)) for group in asked)
        more = np.roll(self.data.rows[:ADDED], 1, axis=1)
        keys = np.arange(ADDED) + 2**40
        add = seconds(lambda: index.add(Entries(keys, more)))
        return {"batch_ms": round(batch * 1e3, 3), "single_us": round(single * 1e6, 1), "add_1000_s": round(add, 4)}

    def startup(self) -> dict[str, Any]:
        """Opening the saved index, mapped, and the first query, each in a process of its own."""
        code = (
            "import sys, time, json, numpy as np\n"
            "from pathlib import Path\n"
            "from calumma.interfaces import Query\n"
            "from calumma_plugins.faiss.index import FaissIndex, FaissOptions\n"
            "options = FaissOptions(**json.loads(sys.argv[2]))\n"
            "query = [Query(vector=np.ones(int(sys.argv[3]), np.float32))]\n"
            "started = time.perf_counter()\n"
            "index = FaissIndex.open(Path(sys.argv[1]), options)\n"
            "opened = time.perf_counter()\n"
            "index.search(query, 10)\n"
            "print(json.dumps([opened - started, time.perf_counter() - opened]))\n"
        )
        options = {**self.engine.options(self.n).model_dump(exclude_none=True), "map_memory": True}
        words = [sys.executable, "-c", code, str(self.folder), json.dumps(options), str(self.data.rows.shape[1])]
        times: dict[str, list[list[float]]] = {"cold": [], "warm": []}
        for _ in range(5):
            for file in self.folder.iterdir():
                _forget(file)
            for name in ("cold", "warm"):
                times[name].append(json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout))
        what = {name: [statistics.median(column) for column in zip(*runs, strict=True)] for name, runs in times.items()}
        return {
            "bytes": sum(file.stat().st_size for file in self.folder.iterdir()),
            **{f"{name}_open_s": round(opened, 4) for name, (opened, _) in what.items()},
            **{f"{name}_first_query_s": round(first, 4) for name, (_, first) in what.items()},
            "kept": what["cold"][0] < 1,
        }


def _forget(file: Path) -> None:
    """Has the system drop what it keeps of a file in memory."""
    with file.open("rb") as opened:
        os.fsync(opened.fileno())
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=100_000, help="rows")
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "retrieval-100k.json")
    parser.add_argument(
        "--work", type=Path, help="where vectors and indexes are kept between runs; by default a folder for temporary files"
    )
    parser.add_argument("--fresh", action="store_true", help="measure again what an earlier run finished")
    arguments = parser.parse_args()
    n, dimension = arguments.n, arguments.dimension
    work = arguments.work or Path(tempfile.gettempdir()) / f"calumma-retrieval-{n}-{dimension}"
    vectors = data(n, dimension, SEED, work)
    report = Report(arguments.out, _about(n, dimension), fresh=arguments.fresh)
    sizes = sorted({n, *(size for size in GROWTH if size < n)}, reverse=True)
    for engine in engines():
        for size in sizes:
            one = Measured(engine, vectors, size, work)
            _measure(report, one, whole=size == n)
    report.write()
    print(table(report.content))
    plot(report.content, arguments.out.with_suffix(".png"))


def _measure(report: Report, one: Measured, *, whole: bool) -> None:
    """All parts of an engine at the full size, or how it does at a smaller one."""
    name, growth = one.engine.name, f"growth-{one.n}"
    done = report.content["engines"].setdefault(name, {})
    wanted = ["batch", "single", growth] if whole else [growth]
    if whole and one.engine.lists(one.n):
        wanted.append("startup")
    if all(part in done for part in wanted):
        return
    if not whole:
        index = one.engine.built(one.data.rows[: one.n])
        report.part(name, growth, lambda: one.growth(index))
        return
    if not (one.folder / "finished").exists():
        done.pop("build", None)
    report.part(name, "build", one.build)
    if "startup" in wanted:
        report.part(name, "startup", one.startup)
    index = one.opened()
    report.part(name, "batch", lambda: one.batches(index))
    report.part(name, "single", lambda: one.singles(index))
    report.part(name, growth, lambda: one.growth(index))


def _about(n: int, dimension: int) -> dict[str, Any]:
    import faiss

    model = next((line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "")
    return {
        "what": "Calumma's interface against the raw library on the same index object; only ratios are to be trusted",
        "command": f"python benchmarks/retrieval.py --n {n} --dimension {dimension}",
        "n": n,
        "dimension": dimension,
        "seed": SEED,
        "k": K,
        "batch": BATCH,
        "data": "clusters of unequal sizes, in groups, rows of length 1: see benchmarks/retrieval_data.py",
        "threads": THREADS,
        "processor": model or platform.processor(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "faiss": faiss.__version__,
    }


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


if __name__ == "__main__":
    main()
