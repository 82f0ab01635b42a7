"""Opens datasets that somebody else may have made: what is wrong with them becomes a sentence, a panic of Lance included."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from calumma.bank.schema import BankInfo, require
from calumma.errors import BankError, CalummaError


def open_dataset(path: Path, version: int | None) -> Any:
    """The `lance.LanceDataset` of a folder. Raises BankError: none is there, or it has its rows from elsewhere."""
    lance = require("lance")
    if not path.is_dir():
        raise BankError(f"There is no bank at {path}.", "Build one: calumma bank build SOURCE --out BANK")
    what = f"version {version} of a bank" if version is not None else "bank"
    try:
        with reading(path):
            dataset = lance.dataset(str(path), version=version)
            elsewhere = dataset.base_paths() if hasattr(dataset, "base_paths") else {}
    except BankError as error:
        fix = "Build one: calumma bank build SOURCE --out BANK"
        raise BankError(f"{path} holds no {what}.", fix) from error.__cause__
    if elsewhere:
        raise BankError(f"The bank {path} has rows that lie outside of its folder.", "Get the whole bank, or build it again.")
    _check_sizes(path, dataset)
    return dataset


def _check_sizes(path: Path, dataset: Any) -> None:
    """Raises BankError where a file of the version is gone or is not as long as it was written."""
    for fragment in dataset.get_fragments():
        for file in fragment.metadata.files:
            place = path / "data" / file.path
            found = place.stat().st_size if place.is_file() else None
            if found is None or (file.file_size_bytes and found != file.file_size_bytes):
                wrong = "is gone" if found is None else f"has {found:,} bytes of {file.file_size_bytes:,}"
                raise BankError(f"The bank {path} is damaged: data/{file.path} {wrong}.", "Get or build it again.")


def is_bank(path: Path) -> bool:
    """Whether a folder holds a bank that this Calumma can read."""
    try:
        BankInfo.load(open_dataset(path, None).schema.metadata, path)
    except BankError:
        return False
    return True


@contextmanager
def reading(bank: object) -> Iterator[None]:
    """While it is open, what Lance and Arrow raise becomes a BankError about `bank`."""
    try:
        yield
    except CalummaError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":  # of Rust: no Exception
            raise
        said = " ".join(str(error).split())[:200]
        raise BankError(
            f"The bank {bank} cannot be read ({type(error).__name__}: {said}).", "It is damaged: get or build it again."
        ) from error
