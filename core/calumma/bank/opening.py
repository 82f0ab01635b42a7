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
    return dataset


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
