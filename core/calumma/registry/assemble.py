"""Resolved components to built ones: every asset taken from the folder its own line stands in, parts built first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from calumma.errors import AssetError, ComponentError
from calumma.extension import Catalog
from calumma.extension.building import mapped, validated
from calumma.interfaces import Asset, Component
from calumma.registry.components import ResolvedComponent
from calumma.registry.resolving import ResolvedPipeline


def build(resolved: ResolvedPipeline, catalog: Catalog | None = None) -> dict[str, Component]:
    """Slot -> component; no weights are loaded. Raises ComponentError and AssetError with the line that asked for it."""
    return {slot: build_component(one, catalog or resolved.catalog, slot) for slot, one in resolved.slots.items()}


def build_component(resolved: ResolvedComponent, catalog: Catalog, name: str = "") -> Component:
    """One component with its parts."""
    options: dict[str, Any] = resolved.options
    for option, parts in resolved.parts.items():
        built = [build_component(part, catalog, f"{name}.{option}") for part in parts]
        options[option] = built if isinstance(resolved.nodes[option].value, list) else built[0]
    try:
        settings = validated(catalog.options_class(resolved.spec), options, name)
        return catalog.build(resolved.kind, resolved.id, _located(settings, resolved, catalog), resolved.base, name)
    except AssetError as error:
        raise AssetError(f"{_origin(resolved)}: {name}: {error.message}", error.fix) from error
    except ComponentError as error:
        raise ComponentError(f"{_origin(resolved)}: {name}: {error.message}", error.fix) from error


def _located(settings: Any, resolved: ResolvedComponent, catalog: Catalog) -> Any:
    changes = {}
    for option, node in resolved.nodes.items():
        old = getattr(settings, option, None)

        def place(value: object, base: Any = node.mark.base) -> object:
            if isinstance(value, Asset) and value.path is None:
                return Asset(value.source, catalog.resolve_asset(value, base))
            return value

        new = mapped(old, place)
        if new is not old:
            changes[option] = new
    return settings.model_copy(update=changes) if changes else settings


def _origin(resolved: ResolvedComponent) -> str:
    return str(resolved.mark)


def dump(resolved: ResolvedPipeline) -> dict[str, Any]:
    """The resolved pipeline as JSON values: every option with its value and its origin; for records and `registry show`."""
    return {
        "calumma": 1,
        "registry": str(resolved.file),
        "pipeline": resolved.name,
        "bank": None
        if resolved.bank is None
        else {"name": resolved.bank_name, "path": resolved.bank.value, "origin": resolved.bank.origin},
        "slots": {slot: _dumped(one) for slot, one in resolved.slots.items()},
    }


def _dumped(resolved: ResolvedComponent) -> Mapping[str, Any]:
    options = {name: {"value": one.value, "origin": one.origin} for name, one in resolved.settings.items()}
    answer = {
        "kind": resolved.kind,
        "use": resolved.id,
        "name": resolved.name,
        "origin": str(resolved.mark),
        "options": options,
    }
    if resolved.parts:
        answer["parts"] = {option: [_dumped(part) for part in parts] for option, parts in resolved.parts.items()}
    return answer
