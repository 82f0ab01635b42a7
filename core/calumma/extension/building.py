"""Options to components: validation with every mistake named, assets resolved, parts built first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from calumma.errors import CalummaError, ComponentError
from calumma.extension.nearest import nearest, suggestion
from calumma.extension.specs import ComponentSpec
from calumma.interfaces import Asset, Component, Options, Part

if TYPE_CHECKING:
    from calumma.extension.catalog import Catalog


def part_kind(field: FieldInfo) -> str | None:
    """The kind of the components that this option takes; None for an ordinary option."""
    extra = field.json_schema_extra
    kind = extra.get("kind") if isinstance(extra, dict) else None
    return kind if isinstance(kind, str) else None


def construct(
    catalog: Catalog, spec: ComponentSpec, options: Mapping[str, Any] | Options, base: Path | None, name: str
) -> Component:
    """Builds a component of `spec`; see `Catalog.build`."""
    settings = validated(catalog.options_class(spec), options, name)
    changes = {}
    for option, field in type(settings).model_fields.items():
        kind = part_kind(field)

        def place(value: object, kind: str | None = kind, option: str = option) -> object:
            if isinstance(value, Asset):
                return value if value.path is not None else replace(value, path=catalog.resolve_asset(value, base))
            if isinstance(value, Part):
                return _part(catalog, value, kind, base, f"{name}.{option}")
            return value

        old = getattr(settings, option)
        new = mapped(old, place)
        if new is not old:
            changes[option] = new
    cls = catalog.component_class(spec)
    try:
        component = cls(settings.model_copy(update=changes))
    except CalummaError:
        raise
    except Exception as error:
        raise ComponentError(
            f"{name} cannot be built: {type(error).__name__}: {error}", "See the cause with --debug."
        ) from error
    component.id = spec.name
    return component


def validated(cls: type[Options], options: Mapping[str, Any] | Options, name: str) -> Options:
    """The Options object of these values. Raises ComponentError naming every wrong value and the nearest option."""
    if isinstance(options, Options):
        if not isinstance(options, cls):
            raise ComponentError(f"{name} takes {cls.__name__}, not {type(options).__name__}.", "Pass its own options.")
        return options
    try:
        return cls.model_validate(dict(options))
    except ValidationError as error:
        found = [f"{'.'.join(map(str, path)) or 'options'}: {message}" for path, message in mistakes(error, cls)]
        raise ComponentError(f"{name}: {'; '.join(found)}", f"`calumma plugins show {name}` lists its options.") from error


def mistakes(error: ValidationError, cls: type[BaseModel]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """(path, sentence) of each mistake; the sentence says the value and what is valid."""
    found = error.errors(include_url=False)
    unknown = [str(one["loc"][-1]) for one in found if one["type"] == "extra_forbidden"][:20]
    meant = {nearest(word, cls.model_fields) for word in unknown}
    for one in found:
        path, value = one["loc"], f"{one.get('input')!r:.80}"
        if one["type"] == "extra_forbidden":
            names = list(_fields_at(cls, path[:-1]))
            sentence = f"unknown option {path[-1]!r}. {suggestion(str(path[-1]), names, 'options')}"
        elif one["type"] == "missing":
            if path[-1] in meant:  # it is there, misspelt, and named so
                continue
            sentence = f"the option {path[-1]!r} is missing."
        elif one["type"] == "literal_error":
            words = [word.strip("'") for word in str(one["ctx"]["expected"]).replace(" or ", ", ").split(", ")]
            sentence = f"{value} is not valid. {suggestion(str(one.get('input')), words, 'values')}"
        else:
            message = one["msg"].removeprefix("Value error, ").rstrip(".")
            sentence = f"{value} is not valid: {message[:1].lower()}{message[1:]}."
        yield path, sentence


def _fields_at(cls: type[BaseModel], path: Sequence[str | int]) -> Mapping[str, FieldInfo]:
    """The options that could stand at a path; those of nested models where their type says so plainly."""
    current: Any = cls
    for step in path:
        field = getattr(current, "model_fields", {}).get(step)
        candidates = [] if field is None else [field.annotation, *getattr(field.annotation, "__args__", ())]
        current = next((one for one in candidates if isinstance(one, type) and issubclass(one, BaseModel)), current)
    return current.model_fields if isinstance(current, type) and issubclass(current, BaseModel) else {}


def mapped(value: Any, change: Callable[[object], object]) -> Any:
    """`value` with `change` applied to what its lists, mappings and models hold; the same object where nothing changed."""
    if isinstance(value, BaseModel):
        fields = {name: getattr(value, name) for name in type(value).model_fields}
        new = {name: mapped(one, change) for name, one in fields.items()}
        changed = {name: one for name, one in new.items() if one is not fields[name]}
        return value.model_copy(update=changed) if changed else value
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        items = [mapped(one, change) for one in value]
        return value if all(new is old for new, old in zip(items, value, strict=True)) else type(value)(items)
    if isinstance(value, dict):
        entries = {key: mapped(one, change) for key, one in value.items()}
        return value if all(entries[key] is value[key] for key in value) else entries
    return change(value)


def _part(catalog: Catalog, part: Part, kind: str | None, base: Path | None, name: str) -> Part:
    if kind is None:
        raise ComponentError(f"{name} is a part, but its option does not say of which kind.", "Mend the plugin's Options.")
    if part.component is not None:
        interface = catalog.interface(kind)
        if not isinstance(part.component, interface):
            raise ComponentError(f"{name} takes a {kind}, not {part.component!r}.", "Pass a component of that kind.")
        return part
    block = dict(part.source) if isinstance(part.source, Mapping) else {"use": part.source}
    id = str(block.pop("use"))
    if "/" not in id:
        raise ComponentError(
            f"{name}: {id!r} is no component id.", "Names of a registry are known in registry.yaml only; use an id."
        )
    return replace(part, component=catalog.build(kind, id, block, base, name))
