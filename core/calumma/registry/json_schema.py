"""JSON Schema of registry.yaml, for editors: generated from the Options of the plugins that are installed."""

from __future__ import annotations

from typing import Any

from calumma.errors import ComponentError
from calumma.extension import Catalog
from calumma.registry.pipelines import REQUIRED
from calumma.registry.structure import PLUGIN_LISTS, VERSION

_WORDS = {"type": "array", "items": {"type": "string"}}


def schema(catalog: Catalog) -> dict[str, Any]:
    """JSON Schema (2020-12) of a registry. Components of plugins that cannot be loaded are left out."""
    definitions: dict[str, Any] = {}
    kinds = {}
    for kind, about in catalog.kinds().items():
        blocks = []
        for spec in catalog.components(kind):
            try:
                options = catalog.options_class(spec).model_json_schema(ref_template="#/$defs/{model}")
            except ComponentError:
                continue
            prefix = spec.name.replace("/", "_")
            for name, nested in options.pop("$defs", {}).items():
                definitions.setdefault(name, nested)
            properties = {"use": {"const": spec.name}, **options.get("properties", {})}
            definitions[prefix] = {
                "type": "object",
                "description": spec.summary,
                "properties": properties,
                "required": ["use", *options.get("required", [])],
                "additionalProperties": False,
            }
            blocks.append({"$ref": f"#/$defs/{prefix}"})
        extended = {"type": "object", "required": ["extends"], "properties": {"extends": {"type": "string"}}}
        definitions[f"kind_{kind}"] = {"description": about.summary, "anyOf": [*blocks, extended]}
        kinds[kind] = {"type": "object", "additionalProperties": {"$ref": f"#/$defs/kind_{kind}"}}
    bank = {
        "type": "object",
        "properties": {"path": {"type": "string", "description": "a path, or PLUGIN:folder"}},
        "required": ["path"],
        "additionalProperties": False,
    }
    slots = {kind: {"anyOf": [{"type": "string"}, {"$ref": f"#/$defs/kind_{kind}"}]} for kind in kinds}
    pipeline = {
        "type": "object",
        "properties": {"extends": {"type": "string"}, "bank": {"anyOf": [{"type": "string"}, bank, {"type": "null"}]}, **slots},
        "additionalProperties": {"type": "object", "required": ["kind"]},
        "anyOf": [{"required": ["extends"]}, {"required": list(REQUIRED)}],
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Calumma registry",
        "type": "object",
        "required": ["calumma"],
        "additionalProperties": False,
        "properties": {
            "calumma": {"const": VERSION},
            "include": _WORDS,
            "plugins": {"type": "object", "properties": dict.fromkeys(PLUGIN_LISTS, _WORDS), "additionalProperties": False},
            "banks": {"type": "object", "additionalProperties": bank},
            "components": {"type": "object", "properties": kinds, "additionalProperties": False},
            "pipelines": {"type": "object", "additionalProperties": pipeline},
        },
        "$defs": definitions,
    }
