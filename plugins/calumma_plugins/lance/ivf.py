"""lance/ivf: keys and vectors in a Lance data set, found by its inverted file (Jegou et al. 2011, doi:10.1109/TPAMI.2010.57).

Lance's distance `dot` is 1 - inner product.
"""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from math import isqrt
from pathlib import Path
from typing import Any, Self

import lance
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from calumma.documents import IntArray
from calumma.errors import AssetError, CalummaError, ComponentError, InputError
from calumma.files import read_text
from calumma.interfaces import Entries, Hits, Query, Retriever, RetrieverCapability, Vectors
from calumma.interfaces import Options as OptionsBase
from calumma_plugins.lance.folders import check_folder, copy_folder
from calumma_plugins.lance.keys import KnownKeys
from calumma_plugins.lance.options import LanceOptions
from calumma_plugins.lance.training import CODES, codebook, partitions

logging.getLogger("pylance").setLevel(logging.NOTSET)  # it sets INFO, whatever the program wants to see

ROWS, FILE = "rows.lance", "index.json"
MAX_PARTITIONS = 4096
CODEBOOK_ROWS = 32_768
MAX_SEGMENTS = 8
MAX_FRAGMENTS = 64
DELETED_AT_ONCE = 10_000
SEED = 0


class LanceIVF(Retriever):
    """For banks larger than memory: a search reads `nprobes` partitions from disk, and of what they find the vectors.

    Below `index_from` rows every search looks at all of them, exactly. From there on there is an index, built when the rows
    that `train` announced have come, or else on save. Rows that come later are looked at one by one until there are
    `index_from`, or 16 for each partition; then they are indexed too. A filter (`only`) is applied before the search, in
    time proportional to the number of its keys, so that it costs no answers.

    In memory are Lance's cache (`cache_mib`) and, while rows are added, their keys (8 bytes each). Until it is saved the data
    set lies in a folder of temporary files (`TMPDIR` says where), which must have room for the vectors.
    """

    Options = LanceOptions
    options: LanceOptions
    capabilities: frozenset[RetrieverCapability] = frozenset({"deletes", "filters", "grows", "maps memory"})
    train_rows = 131_072

    def __init__(self, options: LanceOptions) -> None:
        super().__init__(options)
        self._path: Path | None = None  # of the data set; None while there were no rows
        self._own = True  # whether it is a temporary folder of this object
        self._rows: Any = None
        self._size = 0
        self._dimension: int | None = None
        self._known: KnownKeys | None = None
        self._expected = 0
        self._centroids: Vectors | None = None
        self._codebook: Vectors | None = None
        self._segments = 0  # of the index; 0 where there is none
        self._unindexed = 0

    @property
    def size(self) -> int:
        return self._size

    # --- growing and shrinking ---

    def train(self, vectors: Vectors, total: int) -> None:
        if self._size:
            raise ComponentError("lance/ivf holds rows already.", "Train it before the first row is added.")
        _, sample = self.rows_of(Entries(np.arange(len(vectors)), vectors), None, np.zeros(0, np.int64))
        if not len(sample):
            return
        self._expected, self._dimension = total, sample.shape[1]
        if total >= self.options.index_from and len(sample) >= CODES:
            self._learn(sample[: self.train_rows], total)

    def add(self, entries: Entries) -> None:
        keys, vectors = self.rows_of(entries, self._dimension, np.zeros(0, np.int64))
        self._sub_vectors(vectors.shape[1])
        if self._keys().any_of(keys):
            raise InputError("A key was added twice.", "Remove it first.")
        if not len(keys):
            return
        lists = pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(vectors).reshape(-1)), vectors.shape[1])
        with _writing():
            path = self._owned()
            mode = "create" if self._rows is None else "append"
            lance.write_dataset(pa.table({"key": pa.array(keys), "vector": lists}), str(path), mode=mode)
            self._read(path)
        self._dimension = vectors.shape[1]
        self._keys().add(keys)
        self._unindexed += len(keys)
        with _writing():
            self._index(max(self.options.index_from, self._expected))

    def remove(self, keys: IntArray) -> None:
        if not self._size or not len(keys):
            return
        with _writing():
            path = self._owned()
            for start in range(0, len(keys), DELETED_AT_ONCE):
                self._rows.delete(_in_sql(keys[start : start + DELETED_AT_ONCE]))
            self._read(path)
        if self._known is not None:
            self._known.remove(keys)

    def _index(self, least: int) -> None:
        """Builds the index where there are at least so many rows, or brings it up to date where many are not in it."""
        path = self._path
        assert path is not None
        if not self._segments and self._size >= least:
            self._build()
        elif self._segments and self._unindexed >= max(self.options.index_from, 16 * self._partitions(self._size)):
            merged = self._segments if self._segments >= MAX_SEGMENTS else 0
            self._rows.optimize.optimize_indices(num_indices_to_merge=merged)
            self._segments = 1 if merged else self._segments + 1
        else:
            return
        self._unindexed = 0
        self._read(path)

    def _build(self) -> None:
        if self._centroids is None:
            self._learn(self._sample(), self._size)
        assert self._centroids is not None
        more: dict[str, Any] = {}
        if self._codebook is not None:
            more = {"num_sub_vectors": len(self._codebook), "pq_codebook": self._codebook}
        self._rows.create_index(
            "vector",
            self.options.index,
            metric="dot",
            num_partitions=len(self._centroids),
            ivf_centroids=self._centroids,
            **more,
        )
        self._rows.create_scalar_index("key", "BTREE")
        self._segments = 1

    def _learn(self, sample: Vectors, total: int) -> None:
        self._centroids = partitions(sample, min(self._partitions(total), len(sample)))
        if self.options.index == "IVF_PQ":
            self._codebook = codebook(sample[:CODEBOOK_ROWS], self._sub_vectors(sample.shape[1]))

    def _sample(self) -> Vectors:
        """Some of the rows, in no order; the same each time."""
        draw = np.random.default_rng(SEED)
        places = np.sort(draw.permutation(self._size)[: self.train_rows])
        column = self._rows.take(places, columns=["vector"])["vector"].combine_chunks()
        rows = np.asarray(column.flatten().to_numpy(zero_copy_only=False), np.float32).reshape(len(places), -1)
        return rows[draw.permutation(len(rows))]

    def _partitions(self, rows: int) -> int:
        return self.options.num_partitions or min(MAX_PARTITIONS, isqrt(rows))

    def _sub_vectors(self, dimension: int) -> int:
        """How many there are of a vector. Raises ComponentError where they do not divide it."""
        wanted = self.options.num_sub_vectors
        if wanted is None:
            return max(parts for parts in range(1, max(1, dimension // 8) + 1) if dimension % parts == 0)
        if self.options.index == "IVF_PQ" and dimension % wanted:
            raise ComponentError(
                f"num_sub_vectors = {wanted} does not divide the {dimension} dimensions of the vectors.",
                "Leave it out, or give a divisor of the dimension.",
            )
        return wanted

    def _keys(self) -> KnownKeys:
        if self._known is None:
            with _reading(self._path):
                batches = [] if self._rows is None else self._rows.to_batches(columns=["key"])
                self._known = KnownKeys(np.concatenate([np.zeros(0, np.int64), *(one["key"].to_numpy() for one in batches)]))
        return self._known

    def _owned(self) -> Path:
        """The data set's folder, which only this object knows: what was opened is copied first (by links, if possible)."""
        if self._path is not None and self._own:
            return self._path
        top = Path(tempfile.mkdtemp(prefix="calumma-lance-"))
        weakref.finalize(self, shutil.rmtree, top, ignore_errors=True)
        if self._path is not None:
            copy_folder(self._path, top / ROWS)
        self._path, self._own = top / ROWS, True
        if self._path.is_dir():
            self._read(self._path)
        return self._path

    def _read(self, path: Path) -> None:
        self._rows = lance.dataset(str(path), index_cache_size_bytes=self.options.cache_mib * 2**20)
        self._size = int(self._rows.count_rows())

    # --- searching ---

    def search(self, queries: Sequence[Query], k: int) -> Hits:
        vectors = self.vectors_of(queries, self._dimension)
        with _reading(self._path):
            found = [self._best(query, vector, k) for query, vector in zip(queries, vectors, strict=True)]
        return Hits.of(found, max(k, 0))

    def _best(self, query: Query, vector: Vectors, k: int) -> tuple[IntArray, Vectors]:
        exclude, wanted, allowed = np.unique(query.exclude), k, None
        if query.only is not None:
            only = np.setdiff1d(query.only, exclude)
            wanted, allowed = min(k, len(only)), _among(only)
        elif len(exclude) > 1000:
            allowed = ~_among(exclude)
        else:
            wanted = k + len(exclude)
        wanted = min(wanted, self._size) if k > 0 else 0
        if wanted < 1:
            return np.zeros(0, np.int64), np.zeros(0, np.float32)
        table = self._asked(self._nearest(vector, wanted, enough=False), allowed)
        if self._segments and len(table) < wanted:
            table = self._asked(self._nearest(vector, wanted, enough=True), allowed)
        keys, scores = table["key"].to_numpy(), 1 - table["_distance"].to_numpy()
        kept = ~np.isin(keys, exclude)
        return keys[kept], scores[kept]

    def _asked(self, nearest: dict[str, Any], allowed: Any) -> Any:
        return self._rows.to_table(columns=["key", "_distance"], nearest=nearest, filter=allowed, prefilter=True)

    def _nearest(self, vector: Vectors, wanted: int, enough: bool) -> dict[str, Any]:
        """Lance's words for a question: of `nprobes` partitions, or of as many as hold enough."""
        asked: dict[str, Any] = {"column": "vector", "q": vector, "k": wanted, "metric": "dot"}
        if not self._segments:
            return asked
        asked["minimum_nprobes" if enough else "nprobes"] = self.options.nprobes
        if self.options.index != "IVF_FLAT":
            asked["refine_factor"] = self.options.refine_factor
        if self.options.index == "IVF_HNSW_SQ":
            asked["ef"] = max(self.options.ef, wanted * self.options.refine_factor)
        return asked

    # --- on disk ---

    def save(self, folder: Path) -> None:
        if self._rows is not None and self._path is not None:
            with _writing():
                if self._own:
                    self._index(self.options.index_from)
                    self._tidy()
                copy_folder(self._path, folder / ROWS)
        told = {
            "index": self.options.index,
            "rows": self._size,
            "dimension": None if self._rows is None else self._dimension,
            "segments": self._segments,
            "unindexed": self._unindexed,
        }
        (folder / FILE).write_text(json.dumps(told), encoding="utf-8")

    def _tidy(self) -> None:
        """Joins the pieces of many small additions, and lets go of older versions."""
        path = self._path
        assert path is not None
        if len(self._rows.get_fragments()) > MAX_FRAGMENTS:
            self._rows.optimize.compact_files()
            self._read(path)
        self._rows.cleanup_old_versions(older_than=timedelta(0), delete_unverified=True)
        self._read(path)

    @classmethod
    def open(cls, folder: Path, options: OptionsBase) -> Self:
        assert isinstance(options, LanceOptions)
        opened = cls(options)
        try:
            told = json.loads(read_text(folder / FILE, 2**16))
            size, opened._segments, opened._unindexed = (int(told[name]) for name in ("rows", "segments", "unindexed"))
            opened._dimension, index = told["dimension"], told["index"]
        except Exception as error:  # of JSON of any shape
            raise AssetError(f"{folder} holds no index of lance/ivf.", "Build it again.") from error
        if index != options.index:
            raise AssetError(f"The index in {folder} is no {options.index}.", "Build it again.")
        if opened._dimension is not None:
            opened._path, opened._own = folder / ROWS, False
            check_folder(opened._path)
            with _reading(opened._path):
                opened._read(opened._path)
                opened._check(folder)
        if opened._size != size:
            raise AssetError(f"The index in {folder} is damaged: it lacks rows that were saved.", "Build it again.")
        return opened

    def _check(self, folder: Path) -> None:
        """Raises AssetError where the data set is not one of ours, or takes its rows from elsewhere."""
        if self._rows.base_paths():
            raise AssetError(f"The index in {folder} has rows that lie outside of its folder.", "Build it again.")
        expected = pa.schema({"key": pa.int64(), "vector": pa.list_(pa.float32(), self._dimension)})
        if self._rows.schema.remove_metadata() != expected:
            raise AssetError(f"The index in {folder} holds other columns than keys and vectors.", "Build it again.")


def _among(keys: IntArray) -> Any:
    return pc.field("key").isin(pa.array(keys, pa.int64()))


def _in_sql(keys: IntArray) -> str:
    """The same in SQL, where the smallest integer cannot be written: it is minus a number that is too large."""
    least = np.iinfo(np.int64).min
    others = [str(key) for key in keys.tolist() if key != least]
    terms = [f"key IN ({', '.join(others)})"] * bool(others) + [f"key = {least + 1} - 1"] * (len(others) < len(keys))
    return " OR ".join(terms)


@contextmanager
def _reading(path: Path | None) -> Iterator[None]:
    """While it is open, what Lance raises becomes an AssetError."""
    with _translated(AssetError, f"The index {path} cannot be read", "It is damaged: build it again."):
        yield


@contextmanager
def _writing() -> Iterator[None]:
    """While it is open, what Lance raises becomes a ComponentError."""
    where = tempfile.gettempdir()
    with _translated(ComponentError, "Lance cannot write the index", f"See that there is room in {where}, or set TMPDIR."):
        yield


@contextmanager
def _translated(kind: type[CalummaError], what: str, fix: str) -> Iterator[None]:
    try:
        yield
    except CalummaError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":  # of Rust: no Exception
            raise
        raise kind(f"{what} ({type(error).__name__}: {' '.join(str(error).split())[:200]}).", fix) from error
