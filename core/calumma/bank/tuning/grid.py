"""Which configurations of a retriever are tried: its options say so themselves, so that a plugin's are tuned like our own.

An option is varied where its field has `json_schema_extra={"tune": [...]}`. An entry is a value, or `{"value": v, "from": n,
"to": n}` for a value that is for banks of at least, or at most, so many documents. `"tune_where": {"factory": "IVF"}` beside
it varies the option only where the option `factory`, which is declared before it, has a value that contains IVF.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from calumma.errors import CalummaError
from calumma.interfaces import Asset, Options, Retriever


@dataclass(frozen=True)
class LeftOut:
    """What was not measured: a retriever's id, which of its options, and why, as a sentence."""

    retriever: str
    options: str
    reason: str

    def __str__(self) -> str:
        return f"{' '.join(filter(None, [self.retriever, self.options]))} is left out: {self.reason}"


@dataclass(frozen=True, eq=False)
class Configuration:
    """A retriever that is to be measured.

    Attributes:
        retriever: with these options; no index is in it.
        varied: names of the options that the grid gave a value.
    """

    retriever: Retriever
    varied: tuple[str, ...] = ()

    @property
    def written(self) -> dict[str, Any]:
        """Options as a registry gives them: those that were varied, and others that are not at their default."""
        options: Options = self.retriever.options
        values = options.model_dump(mode="json")
        found = {}
        for name, field in type(options).model_fields.items():
            value = getattr(options, name)
            if isinstance(value, Asset) and value.path is not None:
                found[name] = str(value.path)
            elif name in self.varied or field.is_required() or value != field.get_default(call_default_factory=True):
                found[name] = values[name]
        return {name: value for name, value in found.items() if value is not None}

    @property
    def built(self) -> dict[str, Any]:
        """Those of them that the index depends on."""
        fields = type(self.retriever.options).model_fields
        return {name: value for name, value in self.written.items() if not _marks(fields[name]).get("search")}


def shown(options: Mapping[str, Any]) -> str:
    """Options as a person reads them: M=16, ef_search=64."""
    return ", ".join(f"{name}={value}" for name, value in options.items())


def grid(retriever: Retriever, documents: int) -> tuple[list[Configuration], list[LeftOut]]:
    """The configurations of a retriever for a bank of so many documents, its present one first; and what does not fit."""
    chosen: list[dict[str, Any]] = [{}]
    left_out: list[LeftOut] = []
    for name, field in type(retriever.options).model_fields.items():
        marks = _marks(field)
        if "tune" not in marks:
            continue
        values = []
        for value, low, high in _entries(marks["tune"]):
            if low <= documents and (high is None or documents <= high):
                values.append(value)
            else:
                bound = f"{low:,} documents and more" if documents < low else f"at most {high:,} documents"
                reason = f"it is for banks of {bound}, and this one has {documents:,}."
                left_out.append(LeftOut(retriever.id, shown({name: value}), reason))
        grown: list[dict[str, Any]] = []
        for one in chosen:
            varies = values and _holds(marks.get("tune_where", {}), retriever.options, one)
            grown += [{**one, name: value} for value in values] if varies else [one]
        chosen = grown
    found = [Configuration(retriever)]
    for changes in filter(None, chosen):
        try:
            other = Configuration(with_options(retriever, changes), tuple(changes))
        except (ValidationError, CalummaError) as error:
            left_out.append(LeftOut(retriever.id, shown(changes), _sentence(error)))
            continue
        if other.retriever.options == retriever.options:
            found[0] = other
        else:
            found.append(other)
    return found, left_out


def with_options(retriever: Retriever, changes: Mapping[str, Any]) -> Retriever:
    """The same component with other values of some options, without an index. Raises ValidationError or ComponentError."""
    options: Options = retriever.options
    kept = {name: getattr(options, name) for name in type(options).model_fields}
    twin = type(retriever)(type(options).model_validate({**kept, **changes}))
    twin.id = retriever.id
    return twin


def _marks(field: FieldInfo) -> Mapping[str, Any]:
    return field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}


def _entries(marked: list[Any]) -> Iterator[tuple[Any, int, int | None]]:
    """(value, from, to) of each entry of a mark."""
    for one in marked:
        if isinstance(one, dict):
            yield one["value"], one.get("from", 0), one.get("to")
        else:
            yield one, 0, None


def _holds(where: Mapping[str, str], options: Options, changes: Mapping[str, Any]) -> bool:
    return all(text in str(changes.get(name, getattr(options, name))) for name, text in where.items())


def _sentence(error: ValidationError | CalummaError) -> str:
    if isinstance(error, CalummaError):
        return error.message
    said = "; ".join(one["msg"].removeprefix("Value error, ").rstrip(".") for one in error.errors(include_url=False))
    return f"{said}."
