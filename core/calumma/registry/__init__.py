"""registry.yaml: parsed with positions, validated, resolved, explained; every mistake at once, each with file and line.

Names are loaded when they are first used, so that finding a registry does not import what checking one needs.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from calumma.errors import Problem, RegistryError
    from calumma.registry.assemble import build, build_component, dump
    from calumma.registry.components import ResolvedComponent, Setting
    from calumma.registry.json_schema import schema
    from calumma.registry.parse import parse_value, registry_error
    from calumma.registry.resolving import ResolvedPipeline, catalog_of, resolve, validate
    from calumma.registry.structure import Registry, default_registry, read, shipped

__all__ = [
    "Problem",
    "Registry",
    "RegistryError",
    "ResolvedComponent",
    "ResolvedPipeline",
    "Setting",
    "build",
    "build_component",
    "catalog_of",
    "default_registry",
    "dump",
    "parse_value",
    "read",
    "registry_error",
    "resolve",
    "schema",
    "shipped",
    "validate",
]

_HOMES = {
    "errors": ("Problem", "RegistryError"),
    "registry.assemble": ("build", "build_component", "dump"),
    "registry.components": ("ResolvedComponent", "Setting"),
    "registry.parse": ("parse_value", "registry_error"),
    "registry.resolving": ("ResolvedPipeline", "catalog_of", "resolve", "validate"),
    "registry.json_schema": ("schema",),
    "registry.structure": ("Registry", "default_registry", "read", "shipped"),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"calumma.{home}"), name)
    raise AttributeError(f"module 'calumma.registry' has no attribute {name!r}")
