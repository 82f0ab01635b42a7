"""A column of codes per image tokenizer, so that retrieved pictures need not be encoded again and again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from calumma.bank.progress import progress_bar
from calumma.bank.schema import require
from calumma.documents import IntArray
from calumma.documents.pictures import resize_to
from calumma.errors import BankError
from calumma.interfaces import ImageTokenizer

if TYPE_CHECKING:
    import pyarrow

    from calumma.bank.bank import Bank

PREFIX = "tokens_"
BATCH = 64


def column_name(fingerprint: str) -> str:
    """Fingerprints hold signs that column names may not; the column's metadata has it in full."""
    return PREFIX + hashlib.sha256(fingerprint.encode()).hexdigest()[:16]


def token_columns(schema: pyarrow.Schema) -> dict[str, tuple[str, tuple[int, int]]]:
    """Column -> (fingerprint of the image tokenizer, grid (h, w)) of each column of codes."""
    found = {}
    for field in schema:
        if field.name.startswith(PREFIX) and field.metadata:
            h, w = (int(side) for side in field.metadata[b"grid"].split(b"x"))
            found[field.name] = (field.metadata[b"fingerprint"].decode(), (h, w))
    return found


def tokens_of(row: Mapping[str, Any], columns: Mapping[str, tuple[str, tuple[int, int]]]) -> dict[str, IntArray]:
    """Fingerprint -> ids int64 [h, w] of one row's picture."""
    return {print_: np.array(row[name], np.int64).reshape(grid) for name, (print_, grid) in columns.items() if row[name]}


def add_tokens(bank: Bank, tokenizer: ImageTokenizer, progress: bool | None = None) -> Bank:
    """Encodes every picture, padded to the tokenizer's resolution, and returns the bank's new version.

    Codes that are there already are kept. Raises BankError where the bank has changed since it was opened.
    """
    from calumma.bank.bank import Bank

    fingerprint = tokenizer.fingerprint()
    name = column_name(fingerprint)
    if name in bank.dataset.schema.names:
        return bank
    newest = require("lance").dataset(str(bank.path))
    if newest.version != bank.version:
        raise BankError(f"The bank {bank.name} has changed since it was opened.", "Open it again.")
    pa = require("pyarrow")
    h, w = tokenizer.grid(*tokenizer.resolution)
    field = pa.field(name, pa.list_(pa.int32()), metadata={"fingerprint": fingerprint, "grid": f"{h}x{w}"})
    schema = pa.schema([field])
    with progress_bar(f"Encoding {bank.name}", len(bank), progress) as advance:

        def batches() -> Iterator[pyarrow.RecordBatch]:
            for start in range(0, len(bank), BATCH):
                keys = bank.keys[start : start + BATCH].tolist()
                codes = [None if one.image is None else _encode(tokenizer, one.image.pixels) for one in bank.documents(keys)]
                yield pa.record_batch([pa.array(codes, field.type)], schema=schema)
                advance(len(keys))

        newest.add_columns(pa.RecordBatchReader.from_batches(schema, batches()))
    return Bank.open(bank.path, bank.name)


def _encode(tokenizer: ImageTokenizer, pixels: Any) -> list[int]:
    """One picture alone: in a batch the last bits, and so perhaps a code, could depend on the others."""
    import torch

    image = torch.from_numpy(resize_to(pixels, tokenizer.resolution).astype(np.float32) / 255.0).permute(2, 0, 1)[None]
    return [int(one) for one in tokenizer.encode(image)[0].reshape(-1).tolist()]
