"""Filters on metadata: an SQL condition such as `style = 'noto' AND width > 64` to row keys.

Lance's expressions are evaluated over the columns of the bank and, as columns of their own, the metadata keys that the
condition names. They have no statements, no subqueries and no functions that read files.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from calumma.bank.schema import require
from calumma.documents import IntArray
from calumma.errors import InputError
from calumma.extension.nearest import suggestion

if TYPE_CHECKING:
    import pyarrow

OWN = ("key", "id", "text", "width", "height")
_BLOCK = 65_536


def keys_where(dataset: Any, where: str) -> IntArray:
    """Row keys of the documents that a condition holds for, in the order of the dataset.

    Metadata that is missing is NULL; a key with values of several types is text. A column of the bank hides metadata of its
    name. Raises InputError where the condition cannot be understood.
    """
    lance = require("lance")
    table, others = _columns(dataset, where)
    scratch = lance.write_dataset(table, f"memory://{uuid.uuid4().hex}")
    try:
        found = scratch.to_table(columns=["key"], filter=where)
    except (ValueError, OSError) as error:
        raise InputError(f"The filter {where!r} cannot be used: {_reason(error, others)}", _FIX) from error
    return np.asarray(found["key"].to_numpy(), np.int64)


_FIX = "Write a condition such as \"style = 'noto' AND width > 64\"."


def _columns(dataset: Any, where: str) -> tuple[pyarrow.Table, list[str]]:
    """What the condition may speak of, and the names of all metadata keys."""
    pa = require("pyarrow")
    named = _mentioned(where)
    own = [name for name in OWN if name == "key" or name in named]
    tables, values, names = list[Any](), dict[str, list[Any]](), dict[str, None]()
    for batch in dataset.to_batches(columns=[*own, "metadata"], batch_size=_BLOCK):
        rows = [json.loads(one or "{}") for one in batch.column("metadata").to_pylist()]
        for row in rows:
            names.update(dict.fromkeys(row))
        wanted = [name for name in names if name.lower() in named and name not in OWN]
        for name in wanted:
            values.setdefault(name, []).append((len(tables), _column(row.get(name) for row in rows)))
        tables.append(batch.select(own))
    table = pa.Table.from_batches(tables) if tables else pa.table({name: [] for name in own})
    sizes = [len(one) for one in tables]
    for name, columns in values.items():
        table = table.append_column(name, _joined(dict(columns), sizes))
    return table, list(names)


def _mentioned(where: str) -> set[str]:
    """Every word of a condition, in lower case; and what stands in backticks."""
    return {one.lower() for one in re.findall(r"\w+", where)} | {one.lower() for one in re.findall(r"`([^`]*)`", where)}


def _column(values: Iterable[Any]) -> pyarrow.Array:
    """One type for all: whole numbers, numbers, truth values, else text."""
    pa = require("pyarrow")
    found = list(values)
    kinds = {type(one) for one in found if one is not None}
    if not kinds:
        return pa.nulls(len(found))
    if kinds == {int}:
        return pa.array(found, pa.int64()) if all(abs(one or 0) < 2**63 for one in found) else _texts(found)
    if kinds <= {int, float}:
        return pa.array([None if one is None else float(one) for one in found], pa.float64())
    return pa.array(found, pa.bool_()) if kinds == {bool} else _texts(found)


def _texts(values: Sequence[Any]) -> pyarrow.Array:
    pa = require("pyarrow")
    said = [one if one is None or isinstance(one, str) else json.dumps(one, ensure_ascii=False) for one in values]
    return pa.array(said, pa.string())


def _joined(columns: dict[int, pyarrow.Array], sizes: Sequence[int]) -> pyarrow.ChunkedArray:
    """Columns of some batches as one column of all, of the one type that holds them."""
    pa = require("pyarrow")
    kinds = {one.type for one in columns.values() if one.type != pa.null()}
    kind = kinds.pop() if len(kinds) == 1 else pa.float64() if kinds == {pa.int64(), pa.float64()} else pa.string()
    every = [columns[i] if i in columns else pa.nulls(size) for i, size in enumerate(sizes)]
    return pa.chunked_array([one.cast(kind) for one in every], kind)


def _reason(error: Exception, names: Sequence[str]) -> str:
    """What Lance said, as a phrase; for a name that is not there, what there is."""
    said = " ".join(str(error).split()).removeprefix("Invalid user input: ")
    said = re.sub(r", /\S+:\d+:\d+$", "", said)
    unknown = re.search(r"No field named ([^\s]+?)\.(?:\s|$)", said)
    if unknown:
        word = unknown[1].strip("\"'`")
        return f"there is no {word!r}. {suggestion(word, [*names, *OWN], 'names')}".rstrip()
    return f"{said[:200].rstrip('.')}."
