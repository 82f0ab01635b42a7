"""Is every byte of a bank what was written? Checksums of all its files, its rows, and its indexes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from calumma.bank.indexes import FOLDER as INDEXES
from calumma.bank.keeping import damaged_files
from calumma.bank.opening import open_dataset, reading
from calumma.bank.progress import progress_bar
from calumma.bank.schema import BankInfo, check_columns
from calumma.bank.writing import checksums
from calumma.bank.writing.forgetting import is_forgetting
from calumma.errors import BankError
from calumma.files import read_text

_BLOCK = 512  # rows with their pictures


@dataclass(frozen=True)
class Verdict:
    """What `verify` found.

    Attributes:
        version: that was looked at. documents: in it.
        files: how many were read and compared with their checksums.
        damage: a sentence for each thing that is wrong; empty where the bank is whole.
        unrecorded: files without a checksum, of which only the form was checked: an older Calumma wrote them, or a writer was
            killed before it recorded them, which the next one does.
    """

    version: int
    documents: int
    files: int
    damage: list[str] = field(default_factory=list)
    unrecorded: list[str] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong."""
        return not self.damage


def verify(bank: str | Path, version: int | None = None, progress: bool | None = None) -> Verdict:
    """Reads everything and changes nothing. Raises BankError only where there is no bank at all; damage is in the verdict.

    Args:
        version: whose rows are read; None for the newest. The files of all versions are compared.
    """
    path = Path(bank).expanduser().absolute()
    if not (path / "_versions").is_dir():
        raise BankError(f"There is no bank at {path}.", "Build one: calumma bank build SOURCE --out BANK")
    damage: list[str] = []
    files, unrecorded = _compare(path, damage, progress)
    documents = number = 0
    try:
        dataset = open_dataset(path, version)
        number = int(dataset.version)
        if not damage:  # else Lance may stumble over what is known to be damaged
            documents = _check_rows(path, dataset, damage)
    except BankError as error:
        damage.append(error.message)
    if not any(name.startswith("_versions/") for name in unrecorded):  # else a writer was killed before it wrote the note
        _check_hint(path, damage)
    for place in sorted((path / INDEXES).glob("*")) if not (path / INDEXES).is_symlink() else ():
        if place.is_dir() and not place.name.startswith("."):
            damage += [f"The index {place.name} is damaged: {name}." for name in damaged_files(place)]
    return Verdict(number, documents, files, damage, unrecorded)


def _compare(path: Path, damage: list[str], progress: bool | None) -> tuple[int, list[str]]:
    """Compares every file with its checksum; gives how many, and those that have none."""
    forgetting = is_forgetting(path)
    needed, there, known = _needed(path, damage), list(checksums.files_of(path)), _recorded(path, damage)
    unrecorded = [name for name in there if name not in known]
    expected = needed if forgetting or is_forgetting(path) else needed | set(known)
    wrong = dict.fromkeys(sorted(expected - set(there)), "is gone")
    compared = [name for name in there if name in known]
    with progress_bar(f"Reading {path.name}", len(compared), progress) as advance:
        for name in compared:
            try:
                same = checksums.checksum_of(path / name) == known[name]
            except OSError:
                same = False
            if not same:
                wrong[name] = "is not what was written"
            advance(1)
    if wrong:  # unless `compact` has removed it meanwhile
        still = _needed(path, []) | set(_recorded(path, []))
        damage += [f"{name} {how}." for name, how in wrong.items() if name in still]
    return len(compared), [name for name in unrecorded if name in needed or name.startswith("_reports/")]


def _recorded(path: Path, damage: list[str]) -> dict[str, checksums.Checksum]:
    try:
        return checksums.recorded(path)
    except checksums.DamagedRecord as error:
        damage.append(f"The record {error} is damaged.")
    except OSError as error:
        damage.append(f"The records of {checksums.FOLDER} cannot be read: {error.strerror}.")
    return {}


def _needed(path: Path, damage: list[str]) -> set[str]:
    """The files that some version consists of; of the newest alone while others are forgotten."""
    try:
        with reading(path):
            dataset = open_dataset(path, None)
            tracked = dataset.tracked_files().read_all().to_pylist()
            newest = int(dataset.version) if is_forgetting(path) else None
            return {one["path"] for one in tracked if newest in (None, one["version"])}
    except BankError as error:
        damage.append(error.message)
        return set()


def _check_rows(path: Path, dataset: Any, damage: list[str]) -> int:
    """Reads every row: each column can be read, keys and ids are there once, metadata is an object, vectors have length 1."""
    with reading(path):
        info = BankInfo.load(dataset.schema.metadata, path)
        check_columns(dataset.schema, info, path)
        keys, ids, count = list[Any](), list[Any](), 0
        for batch in dataset.to_batches(batch_size=_BLOCK, batch_readahead=2):
            count += len(batch)
            keys.append(batch.column("key").to_numpy(zero_copy_only=False))
            ids.append(np.fromiter(map(hash, batch.column("id").to_pylist()), np.int64, len(batch)))
            damage += list(_wrong_rows(batch, info))
        if len(_twice(keys)):
            damage.append("A document's key is there twice.")
        if len(suspects := _twice(ids)):  # ids are told apart by a hash first
            names = Counter(
                one
                for batch in dataset.to_batches(columns=["id"])
                for one in batch.column("id").to_pylist()
                if np.isin(hash(one), suspects)
            )
            if max(names.values()) > 1:
                damage.append("A document's id is there twice.")
    return count


def _twice(parts: list[Any]) -> Any:
    """The numbers that occur more than once."""
    numbers, counts = np.unique(np.concatenate(parts) if parts else np.zeros(0, np.int64), return_counts=True)
    return numbers[counts > 1]


def _wrong_rows(batch: Any, info: BankInfo) -> Iterator[str]:
    for one, metadata in zip(batch.column("id").to_pylist(), batch.column("metadata").to_pylist(), strict=True):
        try:
            fine = metadata is None or isinstance(json.loads(metadata), dict)
        except (ValueError, RecursionError):
            fine = False
        if not fine:
            yield f"The metadata of document {one!r} cannot be read."
    for part in ("text_vector", "image_vector"):
        column = batch.column(part)
        rows = column.flatten().to_numpy(zero_copy_only=False).reshape(-1, info.dimension)
        lengths = np.linalg.norm(rows, axis=1)
        if not np.allclose(lengths, 1, atol=1e-3):
            yield f"{'A text' if part == 'text_vector' else 'An image'} vector has not length 1."


def _check_hint(path: Path, damage: list[str]) -> None:
    """Lance's note of the newest version, where there is one."""
    hint = path / checksums.HINT
    try:
        if hint.exists() and read_text(hint, 1024) != checksums.hint_of(int(open_dataset(path, None).version)):
            damage.append(f"{checksums.HINT} is not what was written.")
    except (OSError, ValueError):
        damage.append(f"{checksums.HINT} cannot be read.")
    except BankError as error:
        if error.message not in damage:
            damage.append(error.message)
