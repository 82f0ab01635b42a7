"""Builds a bank from a source: read, check, embed, write; whole or not there."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Sized
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from calumma.bank.opening import is_bank
from calumma.bank.progress import progress_bar
from calumma.bank.schema import BankInfo, EmbedderRecord, require, schema, vector_column
from calumma.bank.sources.source import Item, Skipped, Source
from calumma.documents import Pixels
from calumma.documents.pictures import png_bytes, read_picture
from calumma.errors import BankError, InputError
from calumma.interfaces import Embedder

if TYPE_CHECKING:
    import pyarrow

BATCH_PIXELS = 2**26
FRAGMENT_ROWS, FRAGMENT_BYTES = 16_384, 2**28
STORED_AS_THEY_ARE = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF")  # PNG, JPEG, WebP


@dataclass(frozen=True)
class Report:
    """What became of a source: how many were read and kept, and (name, reason) of each that was left out."""

    read: int
    kept: int
    skipped: list[tuple[str, str]] = field(default_factory=list)

    @property
    def reasons(self) -> dict[str, int]:
        """How often each reason occurred, the most frequent first; details after a colon are dropped."""
        return dict(Counter(reason.split(":")[0] for _, reason in self.skipped).most_common())

    def __str__(self) -> str:
        left_out = "; ".join(f"{count} {reason}" for reason, count in self.reasons.items())
        return f"{self.kept} of {self.read} documents kept" + (f", left out: {left_out}." if left_out else ".")


def build(
    source: Iterable[Item | Skipped],
    out: str | Path,
    embedder: Embedder,
    *,
    overwrite: bool = False,
    batch: int = 64,
    progress: bool | None = None,
) -> Report:
    """Writes a bank of a source's documents, embedded by an embedder that is warm.

    Args:
        source: such as `ImageFolder(path)`, or any iterable of items.
        overwrite: replace a bank that is there; anything else that is there is never touched.
        batch: documents that are embedded at once.
        progress: show a bar on stderr; None asks whether that is a terminal.

    Raises:
        BankError: `out` exists or cannot be written, or not one document could be used.
        ComponentError: the extra `bank` is not installed.
    """
    out = Path(out).expanduser().absolute()
    check_place(out, overwrite)
    lance = require("lance")
    folder = source.name if isinstance(source, Source) else ""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    info = BankInfo(uuid.uuid4().hex, now, embedder.dimension, EmbedderRecord.of(embedder), Path(folder).name)
    temporary = out.parent / f".{out.name}.{info.identity[:8]}.tmp"
    rows = _Rows(source)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        fragments: list[Any] = []
        total = source.count() if isinstance(source, Source) else len(source) if isinstance(source, Sized) else None
        with progress_bar(f"Embedding into {out.name}", total, progress) as advance:
            for table in _tables(rows, info, embedder, batch, advance):
                fragments += lance.fragment.write_fragments(table, str(temporary), schema=table.schema, mode="create")
        if not fragments:
            raise BankError(f"Not one document could be used: {_first(rows.skipped)}.", "Mend the source and build again.")
        lance.LanceDataset.commit(str(temporary), lance.LanceOperation.Overwrite(schema(info), fragments))
        _move(temporary, out)
    except OSError as error:
        raise BankError(f"Cannot write the bank {out}: {error}.", "Choose another place, or make room.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return Report(rows.read, rows.kept, rows.skipped)


@dataclass(frozen=True)
class _Row:
    id: str
    text: str
    image: bytes | None
    pixels: Pixels | None
    metadata: str


class _Rows:
    """The source's documents that can be used, decoded; counts them and remembers why others cannot."""

    def __init__(self, source: Iterable[Item | Skipped]) -> None:
        self.read, self.kept, self.skipped = 0, 0, list[tuple[str, str]]()
        self._source = source
        self._seen: dict[str, str] = {}

    def __iter__(self) -> Iterator[_Row]:
        for item in self._source:
            self.read += 1
            row = item if isinstance(item, Skipped) else self._row(item)
            if isinstance(row, Skipped):
                self.skipped.append((row.name, row.reason))
            else:
                self.kept += 1
                yield row

    def _row(self, item: Item) -> _Row | Skipped:
        if not item.text and item.image is None:
            return Skipped(item.name, "neither text nor picture")
        key = item.id or hashlib.sha256((item.image or b"") + b"\0" + item.text.encode("utf-8", "replace")).hexdigest()[:32]
        if key in self._seen:
            return Skipped(item.name, f"duplicate: of {self._seen[key]}")
        try:
            text = item.text.encode().decode()
            pixels = read_picture(item.image, item.name) if item.image is not None else None
            metadata = json.dumps(dict(item.metadata), sort_keys=True, ensure_ascii=False)
        except InputError as error:
            kind = "too large" if "too large" in error.message else "not a readable picture"
            return Skipped(item.name, f"{kind}: {error.message}")
        except UnicodeEncodeError:
            return Skipped(item.name, "text that is not valid Unicode")
        except (TypeError, ValueError):
            return Skipped(item.name, "metadata that is not JSON")
        self._seen[key] = item.name
        image = item.image
        if image is not None and pixels is not None and not image.startswith(STORED_AS_THEY_ARE):
            image = png_bytes(pixels)
        return _Row(key, text, image, pixels, metadata)


def _tables(rows: _Rows, info: BankInfo, embedder: Embedder, batch: int, advance: Any) -> Iterator[pyarrow.Table]:
    """Embedded rows, in tables that are large enough to be a fragment each."""
    pa = require("pyarrow")
    batches: list[pyarrow.Table] = []
    key = read = size = 0
    for group in _groups(rows, batch):
        batches.append(_embedded(group, key, info, embedder))
        key += len(group)
        size += sum(len(row.image or b"") for row in group)
        advance(rows.read - read)
        read = rows.read
        if sum(len(one) for one in batches) >= FRAGMENT_ROWS or size >= FRAGMENT_BYTES:
            yield pa.concat_tables(batches)
            batches, size = [], 0
    if batches:
        yield pa.concat_tables(batches)


def _groups(rows: Iterable[_Row], batch: int) -> Iterator[list[_Row]]:
    group, pixels = list[_Row](), 0
    for row in rows:
        group.append(row)
        pixels += row.pixels.size if row.pixels is not None else 0
        if len(group) >= batch or pixels >= BATCH_PIXELS:
            yield group
            group, pixels = [], 0
    if group:
        yield group


def _embedded(group: list[_Row], key: int, info: BankInfo, embedder: Embedder) -> pyarrow.Table:
    pa = require("pyarrow")
    texts = np.array([bool(row.text) for row in group])
    images = np.array([row.pixels is not None for row in group])
    text_vectors = np.zeros((len(group), info.dimension), np.float32)
    image_vectors = np.zeros((len(group), info.dimension), np.float32)
    if texts.any():
        text_vectors[texts] = embedder.embed_texts([row.text for row in group if row.text])
    if images.any():
        image_vectors[images] = embedder.embed_images([row.pixels for row in group if row.pixels is not None])
    sizes = [row.pixels.shape[:2] if row.pixels is not None else (None, None) for row in group]
    columns = {
        "key": np.arange(key, key + len(group)),
        "id": [row.id for row in group],
        "text": [row.text or None for row in group],
        "image": [row.image for row in group],
        "width": [width for _, width in sizes],
        "height": [height for height, _ in sizes],
        "metadata": [row.metadata for row in group],
        "text_vector": vector_column(text_vectors, texts),
        "image_vector": vector_column(image_vectors, images),
    }
    return pa.table(columns, schema=schema(info))


def check_place(out: str | Path, overwrite: bool) -> None:
    """Raises BankError where `build` would refuse to write, before anything is loaded."""
    out = Path(out)
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not is_bank(out):
        raise BankError(f"{out} is there already, and is not a bank.", "Choose another name.")
    if not overwrite:
        raise BankError(f"There is a bank at {out} already.", "Choose another name, or give --overwrite.")


def _move(temporary: Path, out: Path) -> None:
    """Puts the finished bank in its place; the one that was there goes only after that."""
    if not out.exists():
        os.rename(temporary, out)
        return
    old = temporary.with_suffix(".old")
    os.rename(out, old)
    try:
        os.rename(temporary, out)
    except OSError:
        os.rename(old, out)
        raise
    if old.is_symlink():
        old.unlink()  # the name was a link: what it led to stays as it was
    else:
        shutil.rmtree(old, ignore_errors=True)


def _first(skipped: list[tuple[str, str]]) -> str:
    return f"{skipped[0][0]}, {skipped[0][1]}" if skipped else "the source is empty"
