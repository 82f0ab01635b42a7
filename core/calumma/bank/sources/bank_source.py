"""Another bank as a source: its documents, not its vectors, so that another embedder can embed them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from calumma.bank.opening import open_dataset, reading
from calumma.bank.schema import BankInfo, check_columns
from calumma.bank.sources.parts import PartedSource
from calumma.bank.sources.places import UnusableError
from calumma.bank.sources.rows import json_object
from calumma.bank.sources.source import Item, Skipped

BATCH = 64
COLUMNS = ("id", "text", "image", "metadata")


class BankSource(PartedSource[int]):
    """The documents of a version of a bank, in the order of its rows, with their ids; parts are fragments of the data set.

    Args:
        version: None for the newest; later changes of the bank then change nothing here.

    Raises BankError: there is no such bank or version.
    """

    not_pickled: ClassVar[frozenset[str]] = frozenset({"_dataset"})

    def __init__(self, path: str | Path, version: int | None = None) -> None:
        self.path = Path(path).expanduser().absolute()
        self.name = str(self.path)
        self.version = version
        self.version = int(self._dataset.version)
        with reading(self.name):
            self.parts: Sequence[int] = [int(one.fragment_id) for one in self._dataset.get_fragments()]
        self.format = f"The bank {self.path.name}, version {self.version}, {self.count():,} documents."

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether a folder is a data set of Lance; whether that is a bank, opening it tells."""
        return (path / "_versions").is_dir()

    def read(self, part: int) -> Iterator[Item | Skipped]:
        with reading(self.name):
            fragment = self._dataset.get_fragment(part)
            batches = iter(fragment.to_batches(columns=list(COLUMNS), batch_size=BATCH, batch_readahead=2))
        while True:
            with reading(self.name):
                batch = next(batches, None)
                rows = [] if batch is None else batch.to_pylist()
            if batch is None:
                return
            yield from map(_item, rows)

    def count(self) -> int:
        with reading(self.name):
            return sum(int(self._dataset.get_fragment(part).count_rows()) for part in self.parts)

    @cached_property
    def _dataset(self) -> Any:
        dataset = open_dataset(self.path, self.version)
        with reading(self.name):
            check_columns(dataset.schema, BankInfo.load(dataset.schema.metadata, self.path), self.path)
        return dataset


def _item(row: dict[str, Any]) -> Item | Skipped:
    try:
        metadata = json_object(row["metadata"] or "{}")
    except UnusableError:
        return Skipped(row["id"], "metadata that is not JSON")
    return Item(row["id"], row["text"] or "", row["image"], row["id"], metadata)
