"""How fragments become a version of a bank, and how documents leave it: the only place that commits."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from calumma.bank.opening import open_dataset
from calumma.bank.schema import require
from calumma.bank.writing import checksums
from calumma.bank.writing.journal import Change, Journal
from calumma.errors import BankError

_BLOCK = 65_536


def fragment_files(fragment: Any) -> list[str]:
    """The data files of a fragment's metadata, as paths below the bank's folder. Raises BankError for one elsewhere."""
    files = [str(one.path) for one in fragment.files]
    if any("/" in name or "\\" in name or name.startswith(".") for name in files):
        raise BankError("What was interrupted names a file outside of the bank.", "Give it up with --discard.")
    return [f"data/{name}" for name in files]


def write_fragments(path: Path, table: Any, fresh: bool) -> list[Any]:
    """Writes a table into a bank's folder, where it is part of no version yet; gives the fragments' metadata.

    Args:
        fresh: it begins a new bank, whose columns are not those of the version that is there.
    """
    mode = "append" if not fresh else "overwrite" if (path / "_versions").exists() else "create"
    written = require("lance").fragment.write_fragments(table, str(path), schema=table.schema, mode=mode)
    return list(written)


def commit_new(path: Path, journal: Journal, schema: Any, why_empty: str) -> int:
    """Commits the journal's fragments as all that the bank holds. Raises BankError where there is not one row."""
    lance = require("lance")
    fragments = list(_current_fragments(path, journal))
    if not fragments:
        raise BankError(f"Not one document could be used: {why_empty}.", "Mend the source and build again.")
    operation = lance.LanceOperation.Overwrite(schema, fragments)
    return _commit(path, journal, operation)


def commit_rows(path: Path, journal: Journal, replaced: Sequence[int]) -> int:
    """Commits the journal's fragments beside what the bank holds, less the rows whose keys are replaced."""
    lance = require("lance")
    dataset = open_dataset(path, None)
    fragments = list(_current_fragments(path, journal))
    if not fragments:
        return int(dataset.version)
    if not replaced:
        return _commit(path, journal, lance.LanceOperation.Append(fragments))
    gone, changed = _deleted(dataset, replaced)
    operation = lance.LanceOperation.Update(
        removed_fragment_ids=gone, updated_fragments=changed, new_fragments=fragments, update_mode="rewrite_rows"
    )
    return _commit(path, journal, operation)


def commit_without(path: Path, dataset: Any, keys: Sequence[int]) -> int:
    """Commits the bank without the rows of these keys."""
    lance = require("lance")
    gone, changed = _deleted(dataset, keys)
    operation = lance.LanceOperation.Delete(changed, gone, f"{len(keys)} keys")
    transaction = lance.Transaction(int(dataset.version), operation, uuid=str(uuid.uuid4()))
    version = int(lance.LanceDataset.commit(str(path), transaction).version)
    checksums.record_rest(path, transaction.uuid)
    return version


def is_committed(path: Path, change: Change) -> bool:
    """Whether a version since the change began is the change's."""
    dataset = open_dataset(path, None)
    for version in range(change.base + 1, int(dataset.version) + 1):
        transaction = dataset.read_transaction(version)
        if transaction is not None and transaction.uuid == change.transaction:
            return True
    return False


def _commit(path: Path, journal: Journal, operation: Any) -> int:
    lance, change = require("lance"), journal.change
    there = (path / "_versions").exists()
    read = int(open_dataset(path, None).version) if there else 0
    again = there and is_committed(path, change)  # killed before the finished bank was moved to its place
    transaction = lance.Transaction(read, operation, uuid=str(uuid.uuid4()) if again else change.transaction)
    version = int(lance.LanceDataset.commit(str(path), transaction).version)
    written = {file: sum for _, sums in journal.fragments() for file, sum in sums.items()}
    checksums.record_rest(path, transaction.uuid, written)
    return version


def _deleted(dataset: Any, keys: Sequence[int]) -> tuple[list[int], list[Any]]:
    """(ids of fragments that are empty without these rows, metadata of those that shrink), nothing committed yet."""
    wanted = np.asarray(sorted(keys), np.int64)
    gone, changed = [], []
    for fragment in dataset.get_fragments():
        offsets = _offsets(fragment, wanted)
        if len(offsets):
            left = fragment.delete_rows(offsets)
            if left is None:
                gone.append(fragment.fragment_id)
            else:
                changed.append(left)
    return gone, changed


def _offsets(fragment: Any, keys: Any) -> list[int]:
    """Physical offsets within a fragment of the rows with these keys."""
    table = fragment.scanner(columns=["key"], with_row_address=True).to_table()
    there = np.isin(table["key"].to_numpy(), keys)
    return [int(one) for one in table["_rowaddr"].to_numpy()[there] & np.uint64(0xFFFFFFFF)]


def _current_fragments(path: Path, journal: Journal) -> Iterator[Any]:
    """The journal's fragments; where the source has changed since they were written, without the rows that it has no more."""
    lance = require("lance")
    noted = journal.fragments()
    every = sum(int(one["physical_rows"]) for one, _ in noted)
    for told, sums in noted:
        fragment = lance.fragment.FragmentMetadata.from_json(json.dumps(told))
        for file in fragment_files(fragment):
            if not _is_as_written(path / file, sums.get(file), read=journal.run > 1):
                raise BankError(f"What was interrupted is damaged: {file}.", "Begin anew with --discard.")
        if every == journal.kept():
            yield fragment
            continue
        yield from _rewritten(path, fragment, journal)


def _is_as_written(path: Path, sum: checksums.Checksum | None, read: bool) -> bool:
    """Whether a file has its size, and, where it is read, its content."""
    if sum is None or not path.is_file():
        return False
    return checksums.checksum_of(path) == sum if read else path.stat().st_size == sum.size


def _rewritten(path: Path, fragment: Any, journal: Journal) -> Iterator[Any]:
    lance = require("lance")
    (file,) = fragment_files(fragment)
    table = lance.file.LanceFileReader(str(path / file)).read_all().to_table()
    keys = table["key"].to_numpy()
    kept = np.isin(keys, list(journal.kept_keys(int(keys.min()), int(keys.max()))))
    if kept.all():
        yield fragment
    elif kept.any():
        rest = table.filter(kept)
        yield from write_fragments(path, rest, fresh=journal.change.verb == "build")
