"""Run in a process of its own: changes bytes of a saved index and opens it, again and again; whoever calls looks for a signal.

Arguments: hnsw, flat or a factory string of FAISS; a seed; how many changes. Prints as JSON how many were refused and how
many opened; anything that is raised but a CalummaError ends it.
"""

from __future__ import annotations

import json
import random
import resource
import sys
import tempfile
from pathlib import Path

import numpy as np

from calumma.errors import CalummaError
from calumma.interfaces import Entries, Options, Query, Retriever

MEMORY = 2 * 2**30


def engine(name: str) -> tuple[type[Retriever], Options]:
    if name == "hnsw":
        from calumma_plugins.hnswlib.hnsw import HNSW
        from calumma_plugins.hnswlib.options import HNSWOptions

        return HNSW, HNSWOptions(M=4)
    if name == "flat":
        from calumma_plugins.exact.flat import Flat
        from calumma_plugins.exact.options import FlatOptions

        return Flat, FlatOptions()
    from calumma_plugins.faiss.index import FaissIndex
    from calumma_plugins.faiss.options import FaissOptions

    return FaissIndex, FaissOptions(factory=name)


def mutated(content: bytes, draw: random.Random) -> bytes:
    """Cut off, lengthened, or changed in a few places, mostly where numbers of the header stand."""
    how = draw.random()
    if how < 0.1:
        return content[: draw.randrange(len(content))]
    if how < 0.15:
        return content + bytes(draw.randrange(1, 50))
    changed = bytearray(content)
    for _ in range(draw.choice([1, 1, 2, 8])):
        place = draw.randrange(len(content) if draw.random() < 0.6 else min(len(content), 140))
        value = draw.choice([b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff", draw.randbytes(4), draw.randbytes(1)])
        changed[place : place + len(value)] = value[: len(content) - place]
    return bytes(changed)


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))  # a forged size fails at once, and harms nobody else
    cls, options = engine(sys.argv[1])
    draw, counts = random.Random(int(sys.argv[2])), {"opened": 0, "refused": 0}
    vectors = np.random.default_rng(0).normal(size=(200, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        index = cls(options)
        index.add(Entries(np.arange(200) * 7, vectors))
        if "deletes" in index.capabilities:
            index.remove(np.array([7, 14]))
        index.save(folder)
        files = sorted(folder.iterdir())
        for _ in range(int(sys.argv[3])):
            file = max(files, key=lambda one: one.stat().st_size) if draw.random() < 0.8 else draw.choice(files)
            good = file.read_bytes()
            file.write_bytes(mutated(good, draw))
            try:
                cls.open(folder, options).search([Query(vectors[3]), Query(vectors[100])], 10)
                counts["opened"] += 1
            except CalummaError:
                counts["refused"] += 1
            file.unlink()  # an opened index may still be mapped
            file.write_bytes(good)
    print(json.dumps(counts))


if __name__ == "__main__":
    main()
