"""One page per installed component: what it is, its options, its capabilities, and an example as registry and as Python."""

from __future__ import annotations

import json
from typing import Any

import yaml

from calumma.cli.plugins import component_facts
from calumma.extension import Catalog, ComponentSpec
from calumma.interfaces import Asset
from calumma.registry import read, shipped

from .markdown import fence, prose, table
from .uses import USES


def pages(catalog: Catalog) -> dict[str, str]:
    """Path -> text, of each component and of the list of all."""
    specs = sorted(
        (spec for kind in catalog.kinds() for spec in catalog.components(kind)), key=lambda spec: (spec.kind, spec.name)
    )
    found = {f"reference/components/{stem(spec)}.md": page(catalog, spec) for spec in specs}
    return {**found, "reference/components/index.md": index(catalog, specs)}


def stem(spec: ComponentSpec) -> str:
    """The file name of a component's page, without its suffix."""
    return spec.name.replace("/", "-").replace("@", "-")


def index(catalog: Catalog, specs: list[ComponentSpec]) -> str:
    """All components in one table."""
    rows = [[f"`{spec.kind}`", f"[`{spec.name}`]({stem(spec)}.md)", spec.summary] for spec in specs]
    about = "What the installed plugins offer, by kind. `calumma plugins show ID` prints the same facts."
    return "\n".join(["# Components", "", about, "", *table(("kind", "component", "what it is"), rows)])


def page(catalog: Catalog, spec: ComponentSpec) -> str:
    """The page of one component."""
    facts = component_facts(catalog, spec)
    sources = ", ".join(f"[{name}]({address})" for name, address in spec.links.items())
    about = [
        ["kind", f"[`{spec.kind}`](../kinds.md)"],
        ["plugin", _plugin(catalog, spec)],
        ["install", f"`{facts['install']}`"],
        ["source", sources],
        ["licence of the code", spec.licence],
    ]
    lines = [f"# {spec.name}", "", prose(spec.summary), ""]
    if facts["status"] == "available":
        lines += [prose(catalog.component_class(spec).__doc__ or ""), ""]
    lines += table(("", ""), [row for row in about if row[1]])
    lines += _options(catalog, spec, facts)
    if spec.capabilities:
        lines += ["## Capabilities", ""]
        lines += table(("capability", "value"), [[name, f"`{_plain(value)}`"] for name, value in spec.capabilities.items()])
    lines += _examples(catalog, spec)
    return "\n".join(lines)


def _plugin(catalog: Catalog, spec: ComponentSpec) -> str:
    plugin = next(info for info in catalog.plugins() if info.name == spec.name.partition("/")[0])
    return f"`{plugin.name}` of {plugin.distribution} {plugin.version}"


def _options(catalog: Catalog, spec: ComponentSpec, facts: dict[str, Any]) -> list[str]:
    rows = [
        [f"`{one['name']}`", one["type"], "required" if one["required"] else f"`{_plain(one['default'])}`", one["description"]]
        for one in facts["options"]
    ]
    if not rows:
        return ["## Options", "", "It has none.", ""]
    lines = ["## Options", "", *table(("option", "type and bounds", "default", "what it does"), rows)]
    meaning = [f"`{name}`" for name, field in catalog.options_class(spec).model_fields.items() if _enters(field)]
    if meaning:
        lines += [f"In the fingerprint, because they change what it computes: {', '.join(meaning)}.", ""]
    return lines


def _enters(field: Any) -> bool:
    extra = field.json_schema_extra
    typed = Asset in (field.annotation, *getattr(field.annotation, "__args__", ()))
    return typed or (isinstance(extra, dict) and bool(extra.get("meaning") or extra.get("kind")))


def _plain(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _examples(catalog: Catalog, spec: ComponentSpec) -> list[str]:
    """Both examples; options are those of the shipped registry's first block of it, else the defaults."""
    options = _shipped(spec)
    needed = [name for name, field in catalog.options_class(spec).model_fields.items() if field.is_required()]
    if not all(name in options for name in needed):
        return []
    lines = ["## In a registry", "", "In `mine.yaml`:", "", *fence("yaml", _registry(spec, options))]
    if spec.kind in _SLOTS:
        lines += fence("sh", "calumma registry show --registry mine.yaml --pipeline mine")
    lines += ["## In Python", ""]
    words = "".join(f", {name}={value!r}" for name, value in options.items() if not _names_of_a_registry(value))
    use = USES.get(spec.kind)
    build = f'part = calumma.component("{spec.name}"{words})\npart.warm_up()\n'
    imports = "import calumma\n" if use is None else use.imports
    lines += fence("python", f"{imports}\n{build}{'print(part)' if use is None else use.code}")
    if use is not None and use.prints:
        lines += ["It prints:", "", *fence("text", use.prints)]
    return lines


def _names_of_a_registry(value: object) -> bool:
    """Whether it names components of the shipped registry, which Python knows nothing of."""
    return isinstance(value, list) and any(isinstance(one, str) and "/" not in one for one in value)


_SLOTS = ("image_tokenizer", "text_tokenizer", "embedder", "retriever", "selection", "decoder", "sampler", "rule")


def _shipped(spec: ComponentSpec) -> dict[str, Any]:
    for block in read(shipped()).components.get(spec.kind, {}).values():
        plain = dict(block.plain())
        if plain.pop("use", None) == spec.name:
            return plain
    return {}


def _registry(spec: ComponentSpec, options: dict[str, Any]) -> str:
    """A whole registry with a pipeline `mine` that has the component in its slot; a rule goes into the sampler."""
    block = {"use": spec.name, **options}
    kind = spec.kind
    if kind == "rule":
        kind, block = "sampler", {"extends": "nucleus", "rules": [block]}
    body: dict[str, Any] = {"calumma": 1, "include": ["calumma:registry.yaml"], "components": {kind: {"mine": block}}}
    text = yaml.safe_dump(body, sort_keys=False, default_flow_style=None, width=120)
    return f"{text}pipelines:\n  mine: {{extends: default, {kind}: mine}}\n" if spec.kind in _SLOTS else text
