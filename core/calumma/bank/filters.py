"""Filters on metadata: an SQL condition such as `style = 'noto' AND width > 64` to row keys.

Lance's expressions are evaluated over the columns of the bank and, as columns of their own, the metadata keys that the
condition names. They have no statements, no subqueries and no functions that read files.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from calumma.bank.schema import require
from calumma.documents import IntArray
from calumma.errors import InputError
from calumma.extension.nearest import suggestion

if TYPE_CHECKING:
    import pyarrow

OWN = ("key", "id", "text", "width", "height")
MAX_LENGTH, MAX_OPERATORS = 2**20, 256  # more of them overflow the stack of Lance, and end the process
_BLOCK = 65_536
_TEXT = re.compile(r"'[^']*'")
_OPERATORS = re.compile(r"::|[-+*/%|&^<>=!~(\[]|\b(?:and|or|not|is|like|ilike|between|case|in)\b", re.IGNORECASE)


def keys_where(dataset: Any, where: str) -> IntArray:
    """Row keys of the documents that a condition holds for, in the order of the dataset.

    Metadata that is missing is NULL; a key with values of several types is text, and numbers are floating-point where they can
    be. A column of the bank hides metadata of its name. Raises InputError where the condition cannot be understood.
    """
    lance = require("lance")
    _check(where)
    table, names = _columns(dataset, where)
    try:
        scratch = lance.write_dataset(table, f"memory://{uuid.uuid4().hex}")
        found = scratch.to_table(columns=["key"], filter=f"({where}\n)")  # all of it: Lance ignores what follows a condition
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":  # of Rust: no Exception
            raise
        raise InputError(f"The filter {_short(where)} cannot be used: {_reason(error, names)}", _FIX) from error
    return np.asarray(found["key"].to_numpy(), np.int64)


_FIX = "Write a condition such as \"style = 'noto' AND width > 64\"."


def _check(where: str) -> None:
    """Raises InputError for what is too long, or is not one condition."""
    plain = _TEXT.sub("''", where)
    if len(where) > MAX_LENGTH or len(_OPERATORS.findall(plain)) > MAX_OPERATORS:
        said = f"The filter {_short(where)} has more than {MAX_OPERATORS} operators, or {MAX_LENGTH:,} signs."
        raise InputError(said, "Say the same with IN and a list.")
    depth = 0
    for sign in plain:
        depth += {"(": 1, ")": -1}.get(sign, 0)
        if depth < 0 or sign == ";":
            raise InputError(f"The filter {_short(where)} is more than one condition.", _FIX)


def _short(where: str) -> str:
    return repr(where if len(where) <= 100 else f"{where[:100]}...")


def _columns(dataset: Any, where: str) -> tuple[pyarrow.Table, list[str]]:
    """What the condition may speak of, and the names of all metadata keys."""
    pa = require("pyarrow")
    named = _mentioned(where)
    own = [name for name in OWN if name == "key" or name in named]
    tables, columns, names = list[Any](), dict[str, dict[int, Any]](), dict[str, None]()
    for batch in dataset.to_batches(columns=[*own, "metadata"], batch_size=_BLOCK):
        rows = _metadata(batch)
        for row in rows:
            names.update(dict.fromkeys(row))
        wanted = [name for name in names if name.lower() in named and name not in OWN]
        for name in wanted:
            columns.setdefault(name, {})[len(tables)] = _column([row.get(name) for row in rows])
        tables.append(batch.select(own))
    schema = pa.schema([dataset.schema.field(name) for name in own])
    table = pa.Table.from_batches(tables, schema).cast(pa.schema([_own(field) for field in schema]))
    for name, parts in columns.items():
        kinds = {one.type for one in parts.values() if one.type != pa.null()}
        if len(kinds) > 1:
            column = _column([row.get(name) for batch in dataset.to_batches(columns=["metadata"]) for row in _metadata(batch)])
        else:
            kind = kinds.pop() if kinds else pa.string()
            every = [parts[i] if i in parts else pa.nulls(len(one)) for i, one in enumerate(tables)]
            column = pa.chunked_array([one.cast(kind) for one in every], kind)
        table = table.append_column(name, column)
    return table, list(names)


def _own(field: pyarrow.Field) -> pyarrow.Field:
    """A column of the bank; its numbers as those of metadata are."""
    pa = require("pyarrow")
    return field if field.name == "key" or not pa.types.is_integer(field.type) else pa.field(field.name, pa.float64())


def _metadata(batch: pyarrow.RecordBatch) -> list[dict[str, Any]]:
    return [json.loads(one or "{}") for one in batch.column("metadata").to_pylist()]


def _mentioned(where: str) -> set[str]:
    """Every word of a condition, in lower case; and what stands in backticks."""
    return {one.lower() for one in re.findall(r"\w+", where)} | {one.lower() for one in re.findall(r"`([^`]*)`", where)}


def _column(values: Sequence[Any]) -> pyarrow.Array:
    """One type for all: numbers, truth values, else text. Lance compares whole numbers with no others, so few are such."""
    pa = require("pyarrow")
    kinds = {type(one) for one in values if one is not None}
    if not kinds:
        return pa.nulls(len(values))
    largest = max((abs(one) for one in values if type(one) is int), default=0)
    if kinds <= {int, float} and (largest <= 2**53 or (float in kinds and largest < 2**63)):
        return pa.array([None if one is None else float(one) for one in values], pa.float64())
    if kinds == {int} and largest < 2**63:
        return pa.array(values, pa.int64())
    return pa.array(values, pa.bool_()) if kinds == {bool} else _texts(values)


def _texts(values: Sequence[Any]) -> pyarrow.Array:
    pa = require("pyarrow")
    said = [one if one is None or isinstance(one, str) else json.dumps(one, ensure_ascii=False) for one in values]
    return pa.array(said, pa.string())


def _reason(error: BaseException, names: Sequence[str]) -> str:
    """What Lance said, as a phrase; for a name that is not there, what there is."""
    said = re.sub(r",? ?/\S+\.rs:\d+:\d+", "", " ".join(str(error).split()))
    unknown = re.search(r"No field named (.+?)\.(?: |$)", said)
    if unknown:
        word = unknown[1].strip("\"'`")
        return f"there is no {word!r}. {suggestion(word, [*names, *OWN], 'names')}".rstrip()
    mixed = re.search(r"Received literal (\w+)\(.*? literal of type '(\w+)'", said)
    if mixed:
        told, kept = (_KINDS.get(one, one) for one in mixed.groups())
        return f"it compares {kept} with {told}."
    said = _PREFIXES.split(said)[-1][:200].rstrip(". ")
    said = said.removesuffix(")" * (said.count(")") - said.count("(")))
    return said if said.endswith("?") else f"{said}."


_PREFIXES = re.compile(
    r"Invalid user input: |Error during planning: |Schema error: |LanceError\(Schema\): |sql parser error: |Execution error: |"
    r"Error tokenizing statement: .* \("
)
_KINDS = {"Utf8": "text", "LargeUtf8": "text", "Float64": "a number", "Int64": "a whole number", "Boolean": "a truth value"}
