"""Indexes are derived from one version of a bank: kept beside it, checked when opened, brought up to date by the difference."""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from calumma.bank.keeping import Unusable, keep, open_kept, owner_of
from calumma.bank.progress import progress_bar
from calumma.bank.trust import cache_folder
from calumma.documents import IntArray
from calumma.errors import CalummaError
from calumma.extension import Catalog
from calumma.interfaces import Entries, Retriever, Vectors

if TYPE_CHECKING:
    from calumma.bank.bank import Bank

log = logging.getLogger(__name__)
FOLDER = "_indexes"
REBUILD = 0.5  # share of the rows that may differ before a new index is the better one
SAMPLE_SEED = 0


def ready_index(bank: Bank, retriever: Retriever, progress: bool | None = None) -> Retriever:
    """The retriever's index of a bank's version: opened where it was kept, else brought up to date or built, and kept."""
    if not retriever.accepts:
        return retriever
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", retriever.index_key())
    name = f"{stem}-v{bank.version}"
    folders = index_folders(bank)
    reasons = []
    for folder in folders:
        if (folder / name).is_dir():
            try:
                return open_kept(bank, retriever, folder / name, bank.version)[0]
            except Unusable as error:
                reasons.append(f"The index {folder / name} is not opened: {error}; it is built again.")
    for reason in reasons:
        log.warning(reason)
    index = _refreshed(bank, retriever, folders, stem) or built(bank, retriever, progress)
    for folder in folders:
        if keep(bank, index, folder / name):
            _drop_older(index, folder, stem, bank.version)
            break
    else:
        log.warning("The index %s could not be kept; it will be built again next time.", name)
    return index


def index_folders(bank: Bank) -> list[Path]:
    """Where a bank's indexes may lie, the first that can be written being the one: beside it, or in the cache."""
    folders = [cache_folder() / "indexes" / bank.info.identity]
    if not (bank.path / FOLDER).is_symlink():  # a bank of somebody else may not say where we write
        folders.insert(0, bank.path / FOLDER)
    return folders


def built(bank: Bank, retriever: Retriever, progress: bool | None = None) -> Retriever:
    """A new index of all of a bank's rows; read in blocks where the engine grows, whole where it cannot."""
    index = type(retriever)(retriever.options)
    index.id = retriever.id
    with progress_bar(f"Indexing {bank.name} for {retriever.id}", len(bank), progress) as advance:
        if index.train_rows and len(bank):
            index.train(_sample(bank, index.train_rows), len(bank))
        for entries in _portions(bank, index):
            index.add(entries)
            advance(len(entries.keys))
    return index


def _portions(bank: Bank, index: Retriever, keys: IntArray | None = None) -> Iterator[Entries]:
    texts = "text" in index.accepts
    if "grows" in index.capabilities:
        yield from bank.blocks(texts, keys)
    else:
        yield bank.entries(texts)


def _sample(bank: Bank, most: int) -> Vectors:
    """Vectors of at most so many rows, drawn without order; the same each time."""
    keys = bank.keys
    if len(keys) > most:
        keys = np.sort(np.random.default_rng(SAMPLE_SEED).choice(keys, most, replace=False))
    rows = np.concatenate([one.vectors for one in bank.blocks(keys=keys)])
    return rows[np.random.default_rng(SAMPLE_SEED).permutation(len(rows))]


def _refreshed(bank: Bank, retriever: Retriever, folders: list[Path], stem: str) -> Retriever | None:
    """The newest older index with what was added and removed since; None where there is none, or the engine cannot.

    A row never changes under its key, so the keys alone tell the difference.
    """
    found = [(version, folder / name) for folder in folders for version, name in _versions(folder, stem)]
    for version, place in sorted(found, key=lambda one: -one[0]):
        if version >= bank.version:
            continue
        try:
            index, keys = open_kept(bank, retriever, place, version)
        except Unusable as error:
            log.warning("The index %s is not brought up to date: %s.", place, error)
            continue
        added, removed = np.setdiff1d(bank.keys, keys), np.setdiff1d(keys, bank.keys)
        able = ("grows" in index.capabilities or not len(added)) and ("deletes" in index.capabilities or not len(removed))
        if able and len(added) + len(removed) <= REBUILD * max(1, len(bank)):
            if len(removed):
                index.remove(removed)
            if len(added):
                for entries in _portions(bank, index, added):
                    index.add(entries)
            return index
        index.close()
        return None
    return None


def _versions(folder: Path, stem: str) -> list[tuple[int, str]]:
    """(version, name) of the indexes of one retriever that are kept in a folder."""
    pattern = re.compile(re.escape(stem) + r"-v(\d{1,18})\Z")
    if not folder.is_dir():
        return []
    return [(int(match[1]), path.name) for path in folder.iterdir() if (match := pattern.match(path.name)) and path.is_dir()]


def _drop_older(index: Retriever, folder: Path, stem: str, version: int) -> None:
    for older, name in _versions(folder, stem):
        if older < version:
            _drop(type(index), folder / name)


def drop_kept(place: Path) -> None:
    """Removes a kept index with what its engine holds elsewhere; one that cannot be dropped stays, and a warning says why."""
    try:
        id = owner_of(place)
        part = None if id is None else Catalog().component_class(Catalog().spec("retriever", id))
    except CalummaError as error:
        log.warning("The index %s is not dropped: %s", place, error.message)
        return
    if part is None:
        shutil.rmtree(place, ignore_errors=True)
    elif issubclass(part, Retriever):
        _drop(part, place)


def _drop(kind: type[Retriever], place: Path) -> None:
    try:
        kind.drop(place)
    except CalummaError as error:
        log.warning("The index %s is not dropped: %s", place, error.message)
        return
    shutil.rmtree(place, ignore_errors=True)
