"""Rows of Arrow tables as Python values, for Parquet files and for Hugging Face's data sets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from calumma.bank.schema import require
from calumma.bank.sources.places import UnusableError, unreadable

if TYPE_CHECKING:
    import pyarrow

BATCH = 128  # rows that are in memory as Python values at once


def kept_columns(schema: pyarrow.Schema, images: Sequence[str]) -> tuple[list[str], list[str]]:
    """(columns to read, columns left out): what holds bytes is no metadata, unless it is where pictures may be."""
    names = list(dict.fromkeys(schema.names))
    left_out = [name for name in names if name not in images and any(map(_holds_bytes, _fields(schema, name)))]
    return [name for name in names if name not in left_out], left_out


def rows_of(
    batch: pyarrow.RecordBatch | pyarrow.Table, labels: Mapping[str, Sequence[str]]
) -> Iterator[dict[str, Any] | UnusableError]:
    """The rows of a batch, or what is wrong with one, such as a text that is not UTF-8.

    Args:
        labels: column of class numbers -> the names of the classes, which take their place.
    """
    try:
        columns = {
            name: _values(column, labels.get(name)) for name, column in zip(batch.schema.names, batch.columns, strict=True)
        }
    except arrow_errors() as error:
        if batch.num_rows == 1:
            yield unreadable(error)
        else:
            for i in range(batch.num_rows):
                yield from rows_of(batch.slice(i, 1), labels)
        return
    for i in range(batch.num_rows):
        yield {name: values[i] for name, values in columns.items()}


def arrow_errors() -> tuple[type[Exception], ...]:
    """What reading a damaged file may raise."""
    return (OSError, ValueError, require("pyarrow").ArrowException)


def _values(column: Any, labels: Sequence[str] | None) -> list[Any]:
    values: list[Any] = _in_microseconds(column).to_pylist()
    return values if labels is None else [_label(value, labels) for value in values]


def _label(value: Any, names: Sequence[str]) -> Any:
    return names[value] if isinstance(value, int) and 0 <= value < len(names) else value


def _fields(schema: pyarrow.Schema, name: str) -> list[pyarrow.DataType]:
    return [schema.field(i).type for i in schema.get_all_field_indices(name)]


def _holds_bytes(kind: pyarrow.DataType) -> bool:
    """Whether values of a type are bytes, or have some inside."""
    types = require("pyarrow").types
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind) or types.is_binary_view(kind):
        return True
    if types.is_dictionary(kind):
        return _holds_bytes(kind.value_type)
    return any(_holds_bytes(kind.field(i).type) for i in range(kind.num_fields))


def _in_microseconds(column: Any) -> Any:
    """Times to the nanosecond, which Python's own do not have, cut to the microsecond."""
    pa = require("pyarrow")
    kind = column.type
    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        return column.cast(pa.timestamp("us", kind.tz), safe=False)
    if pa.types.is_duration(kind) and kind.unit == "ns":
        return column.cast(pa.duration("us"), safe=False)
    if pa.types.is_time(kind) and kind.unit == "ns":
        return column.cast(pa.time64("us"), safe=False)
    return column
