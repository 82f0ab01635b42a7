"""none/none: accepts nothing, finds nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np

from calumma.documents import IntArray
from calumma.interfaces import Entries, Hits, Query, Retriever, RetrieverCapability
from calumma.interfaces import Options as OptionsBase
from calumma_plugins.none.options import NothingOptions


class Nothing(Retriever):
    """Needs no vectors (`accepts` is empty), so nobody has to embed for it."""

    Options = NothingOptions
    options: NothingOptions
    accepts: frozenset[str] = frozenset()
    capabilities: frozenset[RetrieverCapability] = frozenset({"deletes", "filters", "grows"})
    exact = True

    @property
    def size(self) -> int:
        return 0

    def add(self, entries: Entries) -> None:
        pass

    def remove(self, keys: IntArray) -> None:
        pass

    def search(self, queries: Sequence[Query], k: int) -> Hits:
        return Hits.of([(np.zeros(0, np.int64), np.zeros(0, np.float32))] * len(queries), k)

    def save(self, folder: Path) -> None:
        pass

    @classmethod
    def open(cls, folder: Path, options: OptionsBase) -> Self:
        assert isinstance(options, NothingOptions)
        return cls(options)
