"""What Hugging Face's `datasets` loads from this machine: never from a hub, never by a script of the data set's own."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from calumma.bank.sources.arrow_rows import BATCH, kept_columns, rows_of
from calumma.bank.sources.parts import PartedSource
from calumma.bank.sources.places import EMPTY, OUTSIDE, UnusableError, content_of_file, inside, unreadable
from calumma.bank.sources.rows import IMAGES, Columns, item_of_row
from calumma.bank.sources.source import Item, Skipped
from calumma.documents.printing import printable
from calumma.errors import BankError, ComponentError

BUILDERS = ("arrow", "csv", "imagefolder", "json", "parquet", "text")  # not `pandas`, which unpickles
MAX_STATE = 2**26
SHARD_ROWS = 4096


@dataclass(frozen=True)
class HFPart:
    """Rows of a split; None for all of one whose length is not known."""

    split: str
    rows: range | None


class HFDataset(PartedSource[HFPart]):
    """A folder that `save_to_disk` wrote, or one that a builder of `datasets` reads.

    Pictures are taken as the files they are, not decoded. Columns are those of a `Table`; where none has a usual name for
    pictures, the only one of the feature `Image` is taken. Class labels become their names. Documents are called
    `SPLIT:ROW`, counted from 0.

    Args:
        builder: "imagefolder", "parquet", "csv", "json", "arrow" or "text", for a folder of such files. It is read as a
            stream: nothing is copied into the cache of `datasets`.
        split: one alone; None for all, one after another.
        text_column, image_column, id_column: other names of columns.
        uncaptioned: take pictures without a caption too, as pictures alone.

    Raises:
        BankError: no such folder, split or column, or nothing that can be read.
        ComponentError: the extra `datasets` is not installed.
    """

    not_pickled: ClassVar[frozenset[str]] = frozenset({"_splits"})

    def __init__(
        self,
        path: str | Path,
        builder: str | None = None,
        split: str | None = None,
        text_column: str | None = None,
        image_column: str | None = None,
        id_column: str | None = None,
        uncaptioned: bool = False,
    ) -> None:
        refuse_hub(path)
        self.folder = Path(path).expanduser().resolve()
        self.name, self.builder = str(self.folder), builder
        if not self.folder.is_dir():
            raise BankError(f"There is no folder {path}.", "Give one that `datasets` wrote, or one of files with builder=.")
        if builder is not None and builder not in BUILDERS:
            raise BankError(f"The builder {builder!r} is not used here.", f"Take one of {', '.join(BUILDERS)}.")
        if split is not None and split not in self._splits:
            raise BankError(f"{path} has no split {split!r}.", f"Take one of {', '.join(self._splits)}.")
        self._chosen = list(self._splits) if split is None else [split]
        self.columns = self._checked(Columns(text_column, image_column, id_column or "id", uncaptioned), id_column)
        self.parts: Sequence[HFPart] = [part for name in self._chosen for part in self._parts_of(name)]
        what = f"read by the builder {builder}" if builder else "saved on disk"
        self.format = f"A data set of Hugging Face's datasets, {what}, with {', '.join(self._chosen)}."

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether a folder was written by `save_to_disk`."""
        saved = (path / "dataset_info.json").is_file() and (path / "state.json").is_file()
        return saved or (path / "dataset_dict.json").is_file()

    def read(self, part: HFPart) -> Iterator[Item | Skipped]:
        data, name, row = self._splits[part.split], printable(part.split), 0
        if part.rows is not None and not part.rows:
            yield Skipped(name, EMPTY)
            return
        if part.rows is not None:
            data, row = data.select(part.rows), part.rows.start
        labels = {column: one.names for column, one in data.features.items() if _is(one, "ClassLabel")} if data.features else {}
        try:
            for batch in _batches(data):
                columns, _ = kept_columns(batch.schema, self.columns.images)
                for values in rows_of(batch.select(columns), labels):
                    yield item_of_row(f"{name}:{row}", values, self.columns, self.folder)
                    row += 1
        except UnusableError as error:
            end = "" if part.rows is None else f"-{part.rows.stop - 1}"
            yield error.skipped(f"{name}:{row}{end}")

    def count(self) -> int | None:
        known = [max(1, len(part.rows)) for part in self.parts if part.rows is not None]
        return sum(known) if len(known) == len(self.parts) else None

    @cached_property
    def _splits(self) -> dict[str, Any]:
        """The data sets by split, open; None for one without rows, which `datasets` saves and then cannot load."""
        try:
            found = self._saved() if self.builder is None else self._built(self.builder)
        except UnusableError as error:
            raise BankError(f"{self.folder} cannot be read: {error}.", "Save it again, or name the builder=.") from error
        if not found:
            raise BankError(f"{self.folder} holds no split.", "Save it again.")
        return {name: None if data is None else data.with_format("arrow") for name, data in found.items()}

    def _saved(self) -> dict[str, Any]:
        """What `save_to_disk` wrote, after a look at which files it names."""
        datasets = _datasets()
        splits = {self.folder.name: self.folder}
        if (self.folder / "dataset_dict.json").is_file():
            names = _json(self.folder / "dataset_dict.json").get("splits")
            splits = {str(name): self.folder / str(name) for name in names} if isinstance(names, list) else {}
        found = dict[str, Any]()
        for name, place in splits.items():
            for file in ("dataset_info.json", "state.json"):
                inside(self.folder, place / file)
            files = _json(place / "state.json").get("_data_files")
            for file in files if isinstance(files, list) else []:
                inside(self.folder, place / str(file.get("filename", "") if isinstance(file, Mapping) else file))
            with _reading():
                found[name] = None if files == [] else datasets.Dataset.load_from_disk(str(place))
        return found

    def _built(self, builder: str) -> dict[str, Any]:
        datasets = _datasets()
        for path in self.folder.rglob("*"):
            if not path.resolve().is_relative_to(self.folder):
                raise UnusableError(f"{path.relative_to(self.folder)} {OUTSIDE}")
        online = datasets.config.HF_HUB_OFFLINE
        datasets.config.HF_HUB_OFFLINE = True
        try:
            with _reading():
                return dict(datasets.load_dataset(builder, data_dir=str(self.folder), streaming=True))
        finally:
            datasets.config.HF_HUB_OFFLINE = online

    def _parts_of(self, split: str) -> list[HFPart]:
        data = self._splits[split]
        count = 0 if data is None else getattr(data, "num_rows", None)
        if count is None:
            return [HFPart(split, None)]
        starts = range(0, max(1, count), SHARD_ROWS)
        return [HFPart(split, range(start, min(start + SHARD_ROWS, count))) for start in starts]

    def _checked(self, columns: Columns, id_column: str | None) -> Columns:
        features = next((self._splits[name].features for name in self._chosen if self._splits[name] is not None), None)
        if features is None:
            return columns
        for name in (columns.text, columns.image, id_column):
            if name is not None and name not in features:
                raise BankError(f"There is no column {name!r} in {self.folder}.", f"Take one of {', '.join(features)}.")
        pictures = [name for name, one in features.items() if _is(one, "Image")]
        if columns.image is None and not set(IMAGES) & set(features) and len(pictures) == 1:
            return replace(columns, image=pictures[0])
        return columns


def refuse_hub(path: str | Path) -> None:
    """Raises BankError for `hf:` and what else is no path: nothing is fetched."""
    if str(path).startswith("hf:"):
        repository = str(path).removeprefix("hf:").lstrip("/").removeprefix("datasets/")
        raise BankError(
            f"{path} is not on this machine, and nothing is downloaded here.",
            f"Download it first: hf download {repository} --repo-type dataset --local-dir FOLDER",
        )


def _datasets() -> Any:
    try:
        return importlib.import_module("datasets")
    except ImportError as error:
        fix = 'Install it: pip install "calumma[datasets]"'
        raise ComponentError("Hugging Face's datasets is not installed.", fix) from error


def _is(feature: Any, name: str) -> bool:
    return isinstance(feature, getattr(_datasets(), name))


def _json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(content_of_file(path, MAX_STATE))
    except (ValueError, RecursionError) as error:
        raise UnusableError(f"{path.name} is damaged") from error
    return values if isinstance(values, dict) else {}


@contextmanager
def _reading() -> Iterator[None]:
    """What `datasets` raises, which is of many kinds, becomes an UnusableError."""
    try:
        yield
    except Exception as error:
        raise unreadable(error) from error


def _batches(data: Any) -> Iterator[Any]:
    """Tables of some rows, whose offsets were looked at: a file of Arrow is not to be believed. Raises UnusableError."""
    batches = data.iter(BATCH)
    while True:
        with _reading():
            batch = next(batches, None)
            if batch is not None:
                batch.validate(full=True)
        if batch is None:
            return
        yield batch
