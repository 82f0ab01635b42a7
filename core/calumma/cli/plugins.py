"""calumma plugins: what is installed, what state it is in, and what each component can be told."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from calumma.cli import completion
from calumma.cli.check import check
from calumma.cli.new import new
from calumma.cli.options import DebugOption, JsonOption
from calumma.cli.output import print_json, print_table

if TYPE_CHECKING:
    from calumma.extension import Catalog, ComponentSpec

app = typer.Typer(no_args_is_help=True)
app.command("new")(new)
app.command("check")(check)

PluginOrComponent = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="A plugin, or a component id such as hnswlib/hnsw.",
        autocompletion=completion.plugins_and_components,
    ),
]


@app.command("list")
def list_plugins(
    timing: Annotated[bool, typer.Option("--timing", help="Show what each plugin costs to load, the slowest first.")] = False,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """List every component of every plugin, and its status."""
    from calumma.extension import Catalog

    if timing:
        _print_timings(Catalog(), as_json)
        return
    rows = [asdict(row) for row in Catalog().rows()]
    if as_json:
        print_json(rows)
        return
    columns = ("id", "kind", "plugin", "distribution", "status", "reason")
    shown = [[f"{row[name] or ''}" for name in columns] for row in rows]
    for row, line in zip(rows, shown, strict=True):
        line[3] = f"{row['distribution']} {row['version']}".strip()
    print_table(columns, shown)


@app.command("show")
def show(
    name: PluginOrComponent,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Explain a component: its options, how to install it.

    Of a plugin, every component that it offers.
    """
    from calumma.extension import Catalog

    catalog = Catalog()
    if "/" in name:
        facts = [component_facts(catalog, spec) for spec in specs_named(catalog, name)]
    else:
        facts = [component_facts(catalog, spec) for spec in catalog.require(name).components]
    if as_json:
        print_json(facts[0] if "/" in name and len(facts) == 1 else {"plugin": name, "components": facts})
        return
    if not facts:
        print(f"{name} offers no components.")
    for one in facts:
        _print_component(one)


def _print_timings(catalog: Catalog, as_json: bool) -> None:
    from calumma.cli import timing

    found = timing.timings(catalog)
    if as_json:
        print_json(timing.facts(found))
    else:
        print_table(("plugin", "import s", "ask s", "modules"), timing.rows(found))


def specs_named(catalog: Catalog, id: str) -> list[ComponentSpec]:
    """The specs of one id: one, unless a plugin gives an id to two kinds. Raises ComponentError naming the nearest."""
    from calumma.errors import ComponentError
    from calumma.extension.nearest import suggestion

    plugin = id.partition("/")[0]
    if any(info.name == plugin for info in catalog.plugins()):
        found = [spec for spec in catalog.require(plugin).components if spec.name == id]
        if found:
            return found
    there = [spec.name for kind in catalog.kinds() for spec in catalog.components(kind)]
    raise ComponentError(f"There is no component {id!r}.", suggestion(id, there, "components"))


def component_facts(catalog: Catalog, spec: ComponentSpec) -> dict[str, Any]:
    """All that is known of a component without importing its library, as JSON values."""
    from calumma.extension.catalog import install_command
    from calumma.registry.components import plain_default

    status, reason = catalog.status(spec)
    cls = catalog.options_class(spec)
    properties = cls.model_json_schema().get("properties", {})
    options = []
    for name, field in cls.model_fields.items():
        required = field.is_required()
        default = None if required else plain_default(field.get_default(call_default_factory=True))
        options.append(
            {
                "name": name,
                "type": _type_of(properties.get(name, {})),
                "required": required,
                "default": default,
                "description": field.description or "",
            }
        )
    return {
        "id": spec.name,
        "kind": spec.kind,
        "plugin": spec.name.partition("/")[0],
        "summary": spec.summary,
        "status": status,
        "reason": reason,
        "options": options,
        "capabilities": dict(spec.capabilities),
        "install": install_command(spec),
        "licence": spec.licence,
        "links": dict(spec.links),
    }


def _type_of(schema: dict[str, Any]) -> str:
    """A JSON Schema in a few words: `integer 1..512`, `"text" or "image"`, `array of string`."""
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_type_of(one) for one in schema["anyOf"]))
    if "enum" in schema:
        return " or ".join(repr(one) for one in schema["enum"])
    if "const" in schema:
        return repr(schema["const"])
    name = str(schema.get("type", schema.get("$ref", "any").rpartition("/")[2]))
    if name == "array":
        return f"array of {_type_of(schema.get('items', {}))}"
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    if low is None and high is None:
        return name
    opening = ">" if "exclusiveMinimum" in schema else ""
    closing = "<" if "exclusiveMaximum" in schema else ""
    return f"{name} {opening}{'' if low is None else low}..{closing}{'' if high is None else high}"


def _print_component(facts: dict[str, Any]) -> None:
    print(f"{facts['id']}  ({facts['kind']}, {facts['status']}{': ' if facts['reason'] else ''}{facts['reason']})")
    print(f"  {facts['summary']}")
    if facts["capabilities"]:
        print("  capabilities: " + ", ".join(f"{name}={value}" for name, value in facts["capabilities"].items()))
    print(f"  install: {facts['install']}")
    print(f"  licence: {facts['licence']}")
    for name, address in facts["links"].items():
        print(f"  {name}: {address}")
    if facts["options"]:
        rows = [
            [one["name"], one["type"], "required" if one["required"] else repr(one["default"]), one["description"]]
            for one in facts["options"]
        ]
        print_table(("option", "type", "default", "description"), rows)
    print()
