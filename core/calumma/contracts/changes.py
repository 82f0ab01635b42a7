"""Other valid values of a component's options: what a contract changes to see whether an option does what it is marked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, create_model
from pydantic.fields import FieldInfo

from calumma.interfaces import Options


def marked(options: Options, name: str, mark: str) -> bool:
    """Whether an option is declared with `json_schema_extra={mark: True}`."""
    extra = type(options).model_fields[name].json_schema_extra
    return isinstance(extra, dict) and bool(extra.get(mark))


def alone(name: str, field: FieldInfo) -> type[BaseModel]:
    """A model with this one option, so that a value is valid or not whatever the others are."""
    shape: Any = (field.annotation, field)
    return create_model("Alone", __config__=ConfigDict(arbitrary_types_allowed=True), **{name: shape})


def changed(options: Options, name: str) -> Iterator[Any]:
    """The options with another value of one of them, for each that comes to mind: next to what it is, or at its bounds."""
    schema = type(options).model_json_schema().get("properties", {}).get(name, {})
    kept = {field: getattr(options, field) for field in type(options).model_fields}
    seen = [kept[name]]
    for value in _values(schema, kept[name]):
        try:
            other = type(options).model_validate({**kept, name: value})
        except ValidationError:
            continue
        if getattr(other, name) not in seen:
            seen.append(getattr(other, name))
            yield other


def _values(schema: dict[str, Any], value: Any) -> Iterator[Any]:
    for one in (schema, *schema.get("anyOf", ())):
        if one.get("type") == "boolean":
            yield not value
        yield from one.get("enum", ())
        if one.get("type") in ("integer", "number"):
            low, high = one.get("minimum"), one.get("maximum")
            if isinstance(value, (int, float)):
                yield from (value + 1, value - 1, value / 2)
            yield from (bound for bound in (low, high) if bound is not None)
