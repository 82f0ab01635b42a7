"""bm25/text: bm25s computes what each word adds to each text's score; here are the keys, growing, and filters.

score(q, d) = sum over the words t of q of idf(t) * tf(t, d) / (tf(t, d) + k1 * (1 - b + b * |d| / mean |d|)) for `lucene`, with
idf(t) = ln(1 + (N - n(t) + 0.5) / (n(t) + 0.5)); the other methods as in Kamphuis et al. 2020, "Which BM25 do you mean?".
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import bm25s
import numpy as np
import numpy.typing as npt
from bm25s.tokenization import Tokenized
from numpy.lib.format import open_memmap

from calumma.documents import IntArray
from calumma.errors import AssetError, InputError
from calumma.files import read_text
from calumma.interfaces import Entries, Hits, Query, Retriever, RetrieverCapability, RetrieverMetric, Vectors
from calumma.interfaces import Options as OptionsBase
from calumma_plugins.bm25.options import BM25Options
from calumma_plugins.bm25.words import words_of

logging.getLogger("bm25s").setLevel(logging.NOTSET)  # it sets DEBUG, whatever the program wants to see

WordIds = npt.NDArray[np.int32]
MAX_WORDS_FILE = 2**31


class BM25(Retriever):
    """Texts are kept as word ids, 4 bytes a word. A text that shares no word with the query, or scores 0, is no hit.

    How much a word counts depends on all texts: after `add` or `remove` the scores are computed anew by the next search or
    save, in time proportional to all words of all texts (two seconds for 100,000 captions), so that an index that grew
    answers exactly as one that was built at once. A search takes time proportional to the texts that share its words, and a
    little for every text that is there.
    """

    Options = BM25Options
    options: BM25Options
    accepts: frozenset[str] = frozenset({"text"})
    capabilities: frozenset[RetrieverCapability] = frozenset({"deletes", "filters", "grows", "maps memory"})
    metric: RetrieverMetric = "bm25"
    exact = True

    def __init__(self, options: BM25Options) -> None:
        super().__init__(options)
        self._keys: IntArray = np.zeros(0, np.int64)
        self._ends: IntArray = np.zeros(0, np.int64)  # of each text's words in `_words`
        self._words: WordIds = np.zeros(0, np.int32)
        self._ids: dict[str, int] = {}
        self._scores: Any = None  # bm25s's index; None where texts came or went since
        self._lock = threading.Lock()
        self._stopwords = _stopwords(options.stopwords)

    @property
    def size(self) -> int:
        return len(self._keys)

    # --- growing and shrinking ---

    def add(self, entries: Entries) -> None:
        keys = np.array(entries.keys, np.int64)
        if entries.texts is None or keys.shape != (len(entries.texts),):
            raise InputError("bm25/text needs one text for every key.", "Give Entries.texts.")
        if len(np.unique(keys)) < len(keys) or np.isin(keys, self._keys).any():
            raise InputError("A key was added twice.", "Remove it first.")
        if not len(keys):
            return
        texts = [[self._ids.setdefault(word, len(self._ids)) for word in self._words_of(text)] for text in entries.texts]
        start = len(self._words)
        self._ends = np.concatenate([self._ends, start + np.cumsum([len(text) for text in texts], dtype=np.int64)])
        self._words = np.concatenate([self._words, *(np.array(text, np.int32) for text in texts)])
        self._keys = np.concatenate([self._keys, keys])
        self._scores = None

    def remove(self, keys: IntArray) -> None:
        kept = ~np.isin(self._keys, keys)
        if kept.all():
            return
        lengths = self._lengths()
        self._words = self._words[np.repeat(kept, lengths)]
        self._keys, self._ends = self._keys[kept], np.cumsum(lengths[kept], dtype=np.int64)
        left, self._words = _renumbered(self._words)
        names = list(self._ids)
        self._ids = {names[old]: new for new, old in enumerate(left.tolist())}
        self._scores = None

    # --- searching ---

    def search(self, queries: Sequence[Query], k: int) -> Hits:
        index = self._built()
        return Hits.of([self._best(query, k, index) for query in queries], max(k, 0))

    def _best(self, query: Query, k: int, index: Any) -> tuple[IntArray, Vectors]:
        """Keys and scores of the k best that share a word with the query and are allowed, and of what ties with the last."""
        if query.text is None:
            raise InputError("bm25/text searches by text, and the query has none.", "Ask by text.")
        self.check_filter(query)
        ids = [self._ids[word] for word in self._words_of(query.text) if word in self._ids]
        if index is None or not ids or k < 1:
            return np.zeros(0, np.int64), np.zeros(0, np.float32)
        starts, rows = index.scores["indptr"], index.scores["indices"]
        shares = np.zeros(self.size, np.bool_)
        try:
            for one in set(ids):
                shares[rows[starts[one] : starts[one + 1]]] = True
            scores = index.get_scores_from_ids(ids)
        except (IndexError, ValueError) as error:
            raise AssetError("The index of bm25/text is damaged: it finds what it does not hold.", "Build it again.") from error
        places = np.flatnonzero(shares & (scores > 0))
        if query.only is not None:
            places = places[np.isin(self._keys[places], query.only)]
        if len(query.exclude):
            places = places[~np.isin(self._keys[places], query.exclude)]
        if len(places) > k:
            places = places[scores[places] >= np.partition(scores[places], -k)[-k]]
        return self._keys[places], scores[places]

    def _words_of(self, text: str) -> list[str]:
        return [word for word in words_of(text) if word not in self._stopwords]

    def _lengths(self) -> IntArray:
        return np.diff(self._ends, prepend=0)

    def _built(self) -> Any:
        """bm25s's index of the texts that are there; None where none has a word."""
        with self._lock:
            if self._scores is None and len(self._words):
                index = _empty(self.options)
                texts = Tokenized(ids=_Texts(self._words, self._ends), vocab=dict(self._ids))
                index.index(texts, create_empty_token=False, show_progress=False)
                self._scores = index
            return self._scores

    # --- on disk ---

    def save(self, folder: Path) -> None:
        index = self._built()
        np.save(folder / "keys.npy", self._keys)
        np.save(folder / "ends.npy", self._ends)
        np.save(folder / "words.npy", self._words)
        (folder / "options.json").write_text(self.options.model_dump_json(), encoding="utf-8")
        if index is not None:
            index.save(folder / "bm25s", show_progress=False)

    @classmethod
    def open(cls, folder: Path, options: OptionsBase) -> Self:
        assert isinstance(options, BM25Options)
        opened = cls(options)
        try:
            told = BM25Options.model_validate_json(read_text(folder / "options.json", 2**16))
            opened._keys, opened._ends = (np.array(open_memmap(folder / f"{name}.npy", mode="r")) for name in ("keys", "ends"))
            opened._words = open_memmap(folder / "words.npy", mode="r")
            if len(opened._words):
                opened._open_scores(folder / "bm25s")
            opened._check()
        except Exception as error:  # of a damaged header NumPy raises many kinds
            raise AssetError(f"{folder} holds no index of bm25/text, or a damaged one.", "Build it again.") from error
        if told != options:
            raise AssetError(f"The index in {folder} was built with other options.", "Build it again.")
        return opened

    def _open_scores(self, folder: Path) -> None:
        self._scores = _empty(self.options)
        self._ids = json.loads(read_text(folder / "vocab.index.json", MAX_WORDS_FILE))
        self._scores.vocab_dict = self._ids
        self._scores.load_scores(folder, mmap=True, num_docs=self.size)
        if self.options.method in self._scores.methods_requiring_nonoccurrence:
            self._scores.nonoccurrence_array = np.array(open_memmap(folder / "nonoccurrence_array.index.npy", mode="r"))

    def _check(self) -> None:
        """Raises ValueError where arrays do not fit each other; what they hold is looked at by the searches that need it."""
        arrays: list[tuple[npt.NDArray[Any], type[np.generic], int]] = [
            (self._keys, np.int64, self.size),
            (self._ends, np.int64, self.size),
            (self._words, np.int32, int(self._ends[-1]) if self._ends.ndim == 1 and self.size else 0),
        ]
        words = len(self._ids)
        if self._scores is not None:
            told = self._scores.scores
            arrays += [(told[name], dtype, told["data"].size) for name, dtype in (("data", np.float32), ("indices", np.int32))]
            arrays += [(told["indptr"], np.int64, words + 1)]
            if self._scores.nonoccurrence_array is not None:
                arrays += [(self._scores.nonoccurrence_array, np.float32, words)]
        fit = all(array.dtype == dtype and array.shape == (length,) for array, dtype, length in arrays)
        fit = fit and bool((self._lengths() >= 0).all())
        fit = fit and list(self._ids.values()) == list(range(words)) and all(isinstance(word, str) for word in self._ids)
        if fit and self._scores is not None:
            starts = self._scores.scores["indptr"]
            fit = bool(starts[0] == 0 and (np.diff(starts) >= 0).all() and starts[-1] == self._scores.scores["data"].size)
        if not fit:
            raise ValueError("its files do not fit each other")


class _Texts:
    """Each text's word ids, as bm25s wants them: made one by one, never all at once."""

    def __init__(self, words: WordIds, ends: IntArray) -> None:
        self._words, self._ends = words, ends.tolist()

    def __len__(self) -> int:
        return len(self._ends)

    def __iter__(self) -> Iterator[list[int]]:
        start = 0
        for end in self._ends:
            yield self._words[start:end].tolist()
            start = end


def _empty(options: BM25Options) -> Any:
    index = bm25s.BM25(k1=options.k1, b=options.b, delta=options.delta, method=options.method)
    index.nonoccurrence_array = None
    return index


def _stopwords(language: str | None) -> frozenset[str]:
    if language is None:
        return frozenset()
    listed = getattr(bm25s.stopwords, "STOPWORDS_EN" if language == "english" else f"STOPWORDS_{language.upper()}")
    return frozenset(words[0] for words in map(words_of, listed) if len(words) == 1)


def _renumbered(words: WordIds) -> tuple[IntArray, WordIds]:
    """The ids that occur, in order, and the words with each id replaced by its place among them."""
    left, places = np.unique(words, return_inverse=True)
    return left.astype(np.int64), places.astype(np.int32)
