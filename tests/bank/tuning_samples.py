"""A clustered bank whose neighbours an index can miss, and retrievers that miss, or fail, on purpose."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import Field

from calumma.bank import Bank, Item, build
from calumma.bank.tuning import measuring
from calumma.extension import Catalog
from calumma.interfaces import Entries, Hits, Query, Retriever
from calumma_plugins.exact.flat import Flat
from calumma_plugins.exact.options import FlatOptions

from .conftest import words

DOCUMENTS, DIMENSION = 3000, 32


@contextmanager
def short_rounds() -> Iterator[None]:
    """While it is open every measurement is made, but takes no longer than it must."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("AT_LEAST", 0.0), ("SINGLE_AT_LEAST", 0.0), ("SINGLES", 5)):
            patch.setattr(measuring, name, value)
        yield


def clustered_bank(path: Path, documents: int = DOCUMENTS, copies: int = 0) -> Bank:
    """Texts with vectors around 40 centres that lie close to each other; the last `copies` are like the one before them."""
    noise = np.random.default_rng(5)
    centres = noise.normal(size=(40, DIMENSION))
    rows = centres[noise.integers(0, 40, documents)] + 0.8 * noise.normal(size=(documents, DIMENSION))
    rows[documents - copies :] = rows[documents - copies - 1]
    items = [Item(f"{i}", f"text {i}", id=f"{i}", text_vector=row.astype(np.float32)) for i, row in enumerate(rows)]
    build(items, path, words(), progress=False)
    return Bank.open(path)


def engine(id: str, **options: object) -> Retriever:
    built = Catalog().build("retriever", id, options)
    assert isinstance(built, Retriever)
    return built


class ForgetfulOptions(FlatOptions):
    forgets: int = Field(
        1, ge=0, description="Hits left out.", json_schema_extra={"meaning": True, "search": True, "tune": [0, 1, 3]}
    )


class Forgetful(Flat):
    """Exact search that never returns the best so many."""

    Options = ForgetfulOptions
    options: ForgetfulOptions

    def search(self, queries: Sequence[Query], k: int) -> Hits:
        best = super().search(queries, self.options.forgets)
        keys = [np.concatenate([query.exclude, row[row >= 0]]) for query, row in zip(queries, best.keys, strict=True)]
        return super().search([replace(query, exclude=some) for query, some in zip(queries, keys, strict=True)], k)


def forgetful(forgets: int = 1) -> Forgetful:
    retriever = Forgetful(ForgetfulOptions(forgets=forgets))
    retriever.id = "tests/forgetful"
    return retriever


class StubbornOptions(ForgetfulOptions):
    forgets: int = Field(2, ge=0, description="Hits left out.", json_schema_extra={"meaning": True})


class Stubborn(Forgetful):
    """The same with nothing to tune: it never finds all."""

    Options = StubbornOptions


def stubborn() -> Stubborn:
    retriever = Stubborn(StubbornOptions())
    retriever.id = "tests/stubborn"
    return retriever


class Failing(Flat):
    """An engine that cannot build."""

    def add(self, entries: Entries) -> None:
        raise RuntimeError("out of luck")


def failing() -> Failing:
    retriever = Failing(FlatOptions())
    retriever.id = "tests/failing"
    return retriever
