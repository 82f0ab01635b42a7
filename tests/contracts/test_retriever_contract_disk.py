"""Retrievers that save, open or name themselves wrongly: each is a right one but for one fault."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import Field

from calumma.contracts import RetrieverContract
from calumma.contracts.samples.retriever import DotRetriever
from calumma.errors import AssetError
from calumma.interfaces import Options, Retriever

from .breaking import assert_caught


class SavesBeside(DotRetriever):
    def save(self, folder):
        super().save(folder)
        Path("last-index.txt").write_text(str(folder))


class SavesAPath(DotRetriever):
    def save(self, folder):
        super().save(folder)
        (folder / "rows.npz").rename(folder / "data.npz")
        (folder / "where.txt").write_text(str(folder / "data.npz"))

    @classmethod
    def open(cls, folder, options):
        index = cls(options)
        try:
            with np.load((folder / "where.txt").read_text()) as rows:
                index.keys, index.vectors = rows["keys"], rows["vectors"]
        except Exception as error:
            raise AssetError("It holds no index.") from error
        return index


class SavesTheFirstRows(DotRetriever):
    def __init__(self, options):
        super().__init__(options)
        self.first = None

    def add(self, entries):
        super().add(entries)
        self.first = self.first or (self.keys, self.vectors)

    def save(self, folder):
        keys, vectors = self.first or (self.keys, self.vectors)
        np.savez(folder / "rows.npz", keys=keys, vectors=vectors)


class OpensAnything(DotRetriever):
    @classmethod
    def open(cls, folder, options):
        return super().open(folder, options) if (folder / "rows.npz").is_file() else cls(options)


class RaisesItsOwn(DotRetriever):
    @classmethod
    def open(cls, folder, options):
        try:
            return super().open(folder, options)
        except AssetError as error:
            raise ValueError("bad index") from error


class Floors(Options):
    floor: float = Field(
        -1, ge=-1, le=1, description="Rows that score less are left out.", json_schema_extra={"search": True, "meaning": True}
    )
    power: float = Field(1, ge=0.5, le=2, description="Scales what is built.", json_schema_extra={"meaning": True})
    block: int = Field(8, ge=1, le=64, description="Rows at once.")


class WithOptions(DotRetriever):
    Options = Floors
    exact = False

    def answers(self, query):
        keys, scores = super().answers(query)
        return keys[scores >= self.options.floor], scores[scores >= self.options.floor]


class TestWithOptions(RetrieverContract):
    component = WithOptions


class OpensWithDefaults(WithOptions):
    @classmethod
    def open(cls, folder, options):
        return super().open(folder, Floors())


class OpensWithOldOptions(WithOptions):
    """Has the options it is opened with, and searches by those it was saved with."""

    floor = None

    def save(self, folder):
        super().save(folder)
        (folder / "floor.txt").write_text(str(self.options.floor))

    @classmethod
    def open(cls, folder, options):
        index = super().open(folder, options)
        index.floor = float((folder / "floor.txt").read_text()) if (folder / "floor.txt").is_file() else None
        return index

    def answers(self, query):
        keys, scores = DotRetriever.answers(self, query)
        floor = self.options.floor if self.floor is None else self.floor
        return keys[scores >= floor], scores[scores >= floor]


class OneKeyForAll(WithOptions):
    def index_key(self):
        return f"{self.id}#0123456789abcdef"


class KeyOfEverything(WithOptions):
    def index_key(self):
        return self.fingerprint()


class UnmarkedMeaning(WithOptions):
    def answers(self, query):
        keys, scores = super().answers(query)
        return keys[: 4 * self.options.block], scores[: 4 * self.options.block]


class GrowingFingerprint(DotRetriever):
    def fingerprint(self):
        return f"{super().fingerprint()[:-1]}{self.size % 7}"


class ScalesTheSaved(DotRetriever):
    @classmethod
    def open(cls, folder, options):
        index = super().open(folder, options)
        index.vectors = index.vectors.astype(np.float16).astype(np.float32)
        return index


class WritesThrough(DotRetriever):
    folder = None

    def add(self, entries):
        super().add(entries)
        if self.folder is not None:
            self.save(self.folder)

    @classmethod
    def open(cls, folder, options):
        index = super().open(folder, options)
        index.folder = folder
        return index


CAUGHT = [
    (SavesBeside, "test_saving_writes_into_its_folder_alone"),
    (SavesAPath, "test_what_is_saved_opens_and_finds_the_same"),
    (SavesTheFirstRows, "test_what_was_removed_stays_removed"),
    (OpensAnything, "test_what_holds_no_index_is_refused"),
    (RaisesItsOwn, "test_damaged_files_are_refused"),
    (OpensWithDefaults, "test_opening_takes_the_options"),
    (OpensWithOldOptions, "test_opening_takes_the_options"),
    (OneKeyForAll, "test_the_index_key_is_of_what_was_built"),
    (KeyOfEverything, "test_the_index_key_is_of_what_was_built"),
    (UnmarkedMeaning, "test_unmarked_options_change_no_answer"),
    (GrowingFingerprint, "test_the_fingerprint_does_not_know_the_rows"),
    (ScalesTheSaved, "test_what_is_saved_opens_and_finds_the_same"),
    (WritesThrough, "test_an_opened_index_lives_on"),
]


@pytest.mark.parametrize(("component", "rule"), CAUGHT, ids=lambda one: getattr(one, "__name__", ""))
def test_a_broken_retriever_is_caught_by_the_rule_that_it_breaks(
    component: type[Retriever], rule: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # one of them writes where it is
    assert_caught(RetrieverContract, component, rule)
