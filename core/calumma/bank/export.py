"""A bank as files that other tools read: a folder of pictures with captions, a Parquet file, or clip-retrieval's folders."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from calumma.bank.opening import reading
from calumma.bank.progress import progress_bar
from calumma.bank.schema import require
from calumma.bank.sources.rows import IMAGES, TEXTS
from calumma.errors import BankError

if TYPE_CHECKING:
    from calumma.bank.bank import Bank

Format = Literal["image-folder", "parquet", "clip-retrieval"]
FORMATS: tuple[Format, ...] = ("image-folder", "parquet", "clip-retrieval")
SUFFIXES = {b"\x89P": ".png", b"\xff\xd8": ".jpg", b"RI": ".webp"}
OWN = frozenset({"id", "metadata", *TEXTS, *IMAGES})  # what a list of documents calls its own
_BLOCK = 256  # rows with their pictures


def export(bank: Bank, out: str | Path, format: Format = "image-folder", progress: bool | None = None) -> Path:
    """Writes a version of a bank to a new folder (a new file for Parquet), whole or not at all; gives its path.

    `image-folder` and `parquet` hold documents that `bank build` reads again; `clip-retrieval` holds vectors and texts.

    Raises BankError: `out` is there already, or cannot be written.
    """
    out = Path(out).expanduser().absolute()
    if os.path.lexists(out):
        raise BankError(f"{out} is there already.", "Choose another name.")
    write = {"image-folder": _image_folder, "parquet": _parquet, "clip-retrieval": _clip_retrieval}[format]
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with (
            _beside(out) as temporary,
            progress_bar(f"Writing {out.name}", len(bank), progress) as advance,
            reading(bank.name),
        ):
            for count in write(bank, temporary):
                advance(count)
            os.rename(temporary, out)
    except OSError as error:
        raise BankError(f"Cannot write {out}: {error}.", "Choose another place, or make room.") from error
    return out


@contextmanager
def _beside(out: Path) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
    try:
        yield folder / "out"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _image_folder(bank: Bank, out: Path) -> Iterator[int]:
    """Pictures under their row keys, since ids may hold anything, and metadata.jsonl with the ids."""
    out.mkdir()
    columns = ["key", "id", "text", "image", "metadata"]
    with (out / "metadata.jsonl").open("w", encoding="utf-8") as lines:
        for batch in bank.dataset.to_batches(columns=columns, batch_size=_BLOCK, batch_readahead=2):
            for row in batch.to_pylist():
                told = {**_flat(json.loads(row["metadata"] or "{}")), "id": row["id"], "text": row["text"] or ""}
                if row["image"] is not None:
                    told["file_name"] = f"{row['key']}{SUFFIXES.get(row['image'][:2], '.png')}"
                    (out / told["file_name"]).write_bytes(row["image"])
                lines.write(json.dumps(told, ensure_ascii=False) + "\n")
            yield len(batch)


def _flat(metadata: dict[str, Any]) -> dict[str, Any]:
    """Each value on its own, but for those that a reader would take for something else: they lie under `metadata`."""
    hidden = {key: value for key, value in metadata.items() if key in OWN}
    return {key: value for key, value in metadata.items() if key not in OWN} | ({"metadata": hidden} if hidden else {})


def _parquet(bank: Bank, out: Path) -> Iterator[int]:
    require("pyarrow")
    from pyarrow import parquet

    columns = ["id", "text", "image", "metadata"]  # all others a reader would take for metadata
    schema = bank.dataset.scanner(columns=columns).projected_schema.remove_metadata()
    with parquet.ParquetWriter(out, schema) as writer:
        for batch in bank.dataset.to_batches(columns=columns, batch_size=_BLOCK, batch_readahead=2):
            writer.write_batch(batch.replace_schema_metadata(None))
            yield len(batch)


def _clip_retrieval(bank: Bank, out: Path) -> Iterator[int]:
    """`img_emb/`, `text_emb/` and `metadata/` in files of the same rows; a vector of zeros where a document lacks a part."""
    import numpy as np

    require("pyarrow")
    from pyarrow import parquet, table

    folders = {name: out / name for name in ("img_emb", "text_emb", "metadata")}
    for folder in folders.values():
        folder.mkdir(parents=True)
    for number, start in enumerate(range(0, len(bank), 2**16)):
        keys = bank.keys[start : start + 2**16]
        np.save(folders["img_emb"] / f"img_emb_{number:04d}.npy", bank.vectors(keys, "image").astype(np.float16))
        np.save(folders["text_emb"] / f"text_emb_{number:04d}.npy", bank.vectors(keys, "text").astype(np.float16))
        rows = bank.rows(keys, ["id", "text", "metadata"])
        told = {"caption": rows["text"], "id": rows["id"], "metadata": rows["metadata"]}
        parquet.write_table(table(told), folders["metadata"] / f"metadata_{number:04d}.parquet")
        yield len(keys)
