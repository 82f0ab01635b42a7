"""How a bank lies in its Lance dataset: columns, and what the schema's metadata says of them."""

from __future__ import annotations

import importlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import pydantic

from calumma.errors import BankError, ComponentError
from calumma.extension.assets import plugin_of
from calumma.interfaces import Asset, Embedder, Vectors

if TYPE_CHECKING:
    import pyarrow

MAX_DIMENSION = 65_536
FORMAT = 1  # of the columns and of this metadata
METADATA_KEY = b"calumma"


@dataclass(frozen=True)
class EmbedderRecord:
    """Whose vectors they are, and how to build it again."""

    id: str
    fingerprint: str
    options: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, embedder: Embedder) -> EmbedderRecord:
        """Options as YAML would give them; files of its own folder by their absolute path."""
        given: pydantic.BaseModel = embedder.options
        options = given.model_dump(mode="json", exclude_none=True)
        for name in type(given).model_fields:
            value = getattr(given, name)
            if isinstance(value, Asset) and plugin_of(value.source) is None and not value.source.startswith("hf:"):
                options[name] = str(value.local)
        return cls(embedder.id, embedder.fingerprint(), options)


@dataclass(frozen=True)
class BankInfo:
    """What a bank says of itself, in its schema's metadata.

    Attributes:
        identity: hex digits that no other bank has; indexes outside the bank are kept under it.
        created: UTC, ISO 8601.
    """

    identity: Annotated[str, pydantic.Field(pattern=r"\A[0-9a-f]{32}\z")]  # a folder is named by it
    created: str
    dimension: Annotated[int, pydantic.Field(ge=1, le=MAX_DIMENSION)]
    embedder: EmbedderRecord
    source: str = ""
    format: int = FORMAT

    def dump(self) -> dict[bytes, bytes]:
        """As the metadata of an Arrow schema."""
        return {METADATA_KEY: json.dumps(asdict(self), sort_keys=True).encode()}

    @classmethod
    def load(cls, metadata: dict[bytes, bytes] | None, path: Path) -> BankInfo:
        """From the metadata of an Arrow schema. Raises BankError where it is no bank, or one of another format."""
        try:
            values = json.loads((metadata or {})[METADATA_KEY])
            if values["format"] != FORMAT:
                raise BankError(
                    f"The bank {path} has format {values['format']}; this Calumma reads {FORMAT}.", "Update Calumma."
                )
            return pydantic.TypeAdapter(cls).validate_json(json.dumps(values), strict=True)
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise BankError(
                f"{path} is a Lance dataset, but not a bank.", "Build one: calumma bank build SOURCE --out BANK"
            ) from error


def schema(info: BankInfo) -> pyarrow.Schema:
    """Columns of a bank; columns of codes may follow, one per image tokenizer (see `calumma.bank.tokens`)."""
    pa = require("pyarrow")
    vector = pa.list_(pa.float32(), info.dimension)
    columns = [
        pa.field("key", pa.int64(), nullable=False),
        pa.field("id", pa.string(), nullable=False),
        pa.field("text", pa.string()),
        pa.field("image", pa.large_binary()),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("metadata", pa.string()),
        pa.field("text_vector", vector),
        pa.field("image_vector", vector),
    ]
    return pa.schema(columns, metadata=info.dump())


def check_columns(found: pyarrow.Schema, info: BankInfo, path: Path) -> None:
    """Raises BankError unless a dataset has every column of a bank, of its type."""
    for column in schema(info):
        if found.get_field_index(column.name) < 0 or found.field(column.name).type != column.type:
            raise BankError(f"The bank {path} has no column {column.name} of {column.type}.", "It is damaged: build it again.")


def vector_column(rows: Vectors, present: np.ndarray[Any, np.dtype[np.bool_]]) -> pyarrow.Array:
    """float32 [N, dimension] as a fixed-size list, null where `present` is False."""
    pa = require("pyarrow")
    flat = pa.array(np.ascontiguousarray(rows, np.float32).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, rows.shape[1], mask=pa.array(~present))


def vectors_of(column: pyarrow.ChunkedArray, dimension: int) -> Vectors:
    """The opposite: rows of zeros where null."""
    rows = np.zeros((len(column), dimension), np.float32)
    start = 0
    for chunk in column.chunks:
        present = start + np.flatnonzero(chunk.is_valid().to_numpy(zero_copy_only=False))
        rows[present] = chunk.flatten().to_numpy(zero_copy_only=False).reshape(-1, dimension)  # flatten() leaves nulls out
        start += len(chunk)
    return rows


def require(module: str) -> Any:
    """Imports `lance` or `pyarrow`. Raises ComponentError naming the extra."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ComponentError("Banks need Lance, which is not installed.", 'Install it: pip install "calumma[bank]"') from error
