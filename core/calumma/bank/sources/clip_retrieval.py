"""What clip-retrieval wrote: embeddings that an encoder made before, taken over as they are, with their metadata."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from calumma.bank.sources.arrow_rows import kept_columns
from calumma.bank.sources.parquet import group_sizes, open_parquet, rows_of_group
from calumma.bank.sources.parts import PartedSource
from calumma.bank.sources.places import EMPTY, UnusableError, inside, picture_at, unreadable
from calumma.bank.sources.rows import Columns, metadata_of, take_id, take_text
from calumma.bank.sources.source import Item, Skipped
from calumma.errors import BankError
from calumma.files import open_file
from calumma.interfaces import Vectors

FOLDERS = {"image": "img_emb", "text": "text_emb"}
ROWS = 4096  # of metadata that are in memory at once


@dataclass(frozen=True)
class EmbeddingsPart:
    """The files of one number, by what they hold: "image", "text", "metadata"; rows None where they cannot be read."""

    number: str
    files: Mapping[str, Path]
    rows: int | None
    reason: str = ""


class ClipRetrieval(PartedSource[EmbeddingsPart]):
    """A folder with `metadata/metadata_N.parquet`, and `img_emb/img_emb_N.npy` or `text_emb/text_emb_N.npy` or both.

    The text is `caption`; other columns, such as `image_path` and `url`, are metadata. A vector is the row of the array, as
    float32; one of zeros stands for a part that the document lacks. Documents are called `metadata/FILE:ROW`, counted from
    0. Without a picture's bytes the hash of a caption would take two pictures for one, so the id is then the hash of
    caption and image vector, unless there is a column `id`.

    Args:
        images: the folder that `image_path` is relative to; pictures that lie below it come with their bytes.
        text_column, id_column: other names of columns.

    Raises BankError: no such folder, or files of one number that do not have the same number of rows.
    """

    embedded = True

    def __init__(
        self,
        path: str | Path,
        images: str | Path | None = None,
        text_column: str | None = None,
        id_column: str | None = None,
    ) -> None:
        self.folder = Path(path).expanduser().resolve()
        self.name = str(self.folder)
        self.images = None if images is None else Path(images).expanduser().resolve()
        if self.images is not None and not self.images.is_dir():
            raise BankError(f"There is no folder {images}.", "Give the folder that image_path is relative to.")
        self.columns = Columns(text_column or "caption", id=id_column or "id")
        self.parts: Sequence[EmbeddingsPart] = [self._part(number) for number in self._numbers()]
        if not self.parts:
            fix = "Give what clip-retrieval wrote: metadata/metadata_N.parquet, and img_emb or text_emb beside it."
            raise BankError(f"There are no embeddings of clip-retrieval in {path}.", fix)
        found = [name for name in FOLDERS if any(name in part.files for part in self.parts)]
        self.format = f"clip-retrieval's embeddings by {' and '.join(found)}, {len(self.parts)} of each."

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether a folder has metadata and embeddings of clip-retrieval."""
        has_vectors = any(any((path / name).glob(f"{name}_*.npy")) for name in FOLDERS.values())
        return has_vectors and any((path / "metadata").glob("metadata_*.parquet"))

    def read(self, part: EmbeddingsPart) -> Iterator[Item | Skipped]:
        name = f"metadata/{part.files['metadata'].name}"
        if part.rows is None:
            yield Skipped(name, part.reason)
            return
        if not part.rows:
            yield Skipped(name, EMPTY)
        row = 0
        try:
            arrays = {kind: _array(part.files[kind]) for kind in FOLDERS if kind in part.files}
            with open_parquet(part.files["metadata"]) as table:
                columns, _ = kept_columns(table.schema_arrow, ())
                for group in range(len(group_sizes(table))):
                    for values in rows_of_group(table, group, columns, ROWS):
                        vectors = {kind: np.asarray(array[row], np.float32) for kind, array in arrays.items()}
                        yield self._item(f"{name}:{row}", values, vectors)
                        row += 1
        except UnusableError as error:
            yield error.skipped(f"{name}:{row}" + f"-{part.rows - 1}" * (part.rows > row + 1))

    def count(self) -> int:
        return sum(1 if part.rows is None else max(1, part.rows) for part in self.parts)

    def _item(self, name: str, row: Mapping[str, Any] | UnusableError, vectors: Mapping[str, Vectors]) -> Item | Skipped:
        if isinstance(row, UnusableError):
            return row.skipped(name)
        if not all(np.isfinite(vector).all() for vector in vectors.values()):
            return Skipped(name, "a vector with NaN or infinity")
        values = dict(row)
        text = take_text(values, self.columns)
        by_text, by_image = (one if one is not None and one.any() else None for one in map(vectors.get, ("text", "image")))
        if by_image is None and (by_text is None or not text):
            return Skipped(name, "no vector" if text else "no caption")
        try:
            image = self._picture(values.get("image_path"))
            given = take_id(values, self.columns.id)
            metadata = metadata_of(values)
        except UnusableError as error:
            return error.skipped(name)
        if given is None and image is None and by_image is not None:
            given = hashlib.sha256(by_image.tobytes() + text.encode("utf-8", "replace")).hexdigest()[:32]
        return Item(name, text, image, given, metadata, by_text if text else None, by_image)

    def _picture(self, path: object) -> bytes | None:
        """The file, where it lies below the folder of pictures. Raises UnusableError where it is there and cannot be read."""
        if self.images is None or not isinstance(path, str):
            return None
        try:
            inside(self.images, self.images / path)
        except UnusableError:
            return None
        return picture_at(self.images, path)

    def _numbers(self) -> list[str]:
        pattern = re.compile(r"metadata_(\d+)\.parquet\Z")
        found = [match[1] for path in (self.folder / "metadata").glob("*.parquet") if (match := pattern.match(path.name))]
        return sorted(found, key=lambda number: (int(number), number))

    def _part(self, number: str) -> EmbeddingsPart:
        files = {"metadata": self.folder / "metadata" / f"metadata_{number}.parquet"}
        for kind, name in FOLDERS.items():
            if (self.folder / name).is_dir():
                files[kind] = self.folder / name / f"{name}_{number}.npy"
        rows = dict[str, int]()
        try:
            files = {kind: inside(self.folder, path) for kind, path in files.items()}
            if len(files) == 1:
                raise UnusableError("neither img_emb nor text_emb is there")
            with open_parquet(files["metadata"]) as table:
                rows["metadata"] = sum(group_sizes(table))
            for kind in FOLDERS:
                if kind in files:
                    rows[kind] = len(_array(files[kind]))
        except UnusableError as error:
            return EmbeddingsPart(number, files, None, str(error))
        for kind, count in rows.items():
            if count != rows["metadata"]:
                raise BankError(
                    f"{files[kind]} has {count:,} rows, and {files['metadata']} has {rows['metadata']:,}.",
                    "They are not of one run: write both again with clip-retrieval.",
                )
        return EmbeddingsPart(number, files, rows["metadata"])


def _array(path: Path) -> np.ndarray[Any, np.dtype[np.floating[Any]]]:
    """Floating-point numbers [N, D] that stay on the disk. Raises UnusableError; what is pickled is never loaded."""
    try:
        open_file(path).close()
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, OverflowError, SyntaxError, TypeError, MemoryError) as error:
        raise unreadable(error) from error
    if not isinstance(array, np.ndarray) or array.ndim != 2 or array.dtype.kind != "f" or not array.shape[1]:
        raise UnusableError("unreadable: no rows of floating-point numbers")
    return array
