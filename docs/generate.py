"""Writes docs/components.md from the installed plugins; `--check` only says whether it is current."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from calumma.extension import Catalog, ComponentSpec

PAGE = Path(__file__).with_name("components.md")


def page(catalog: Catalog) -> str:
    """The whole page, kinds and components in alphabetical order."""
    lines = ["# Kinds and components", "", "Written by `make docs` from the plugins themselves; do not edit.", ""]
    for kind in sorted(catalog.kinds().values(), key=lambda one: one.name):
        lines += [f"## `{kind.name}`", "", kind.summary, ""]
        for spec in sorted(catalog.components(kind.name), key=lambda one: one.name):
            lines += component(catalog, spec)
    return "\n".join(lines).rstrip() + "\n"


def component(catalog: Catalog, spec: ComponentSpec) -> list[str]:
    """The section of one component."""
    schema = catalog.options_class(spec).model_json_schema()
    links = ", ".join(f"[{name}]({address})" for name, address in spec.links.items())
    lines = [f"### `{spec.name}`", "", spec.summary, ""]
    if links:
        lines += [f"Source: {links}. Licence of the code: {spec.licence}.", ""]
    if schema.get("properties"):
        lines += ["| option | type | default | what it does |", "|---|---|---|---|"]
        required = schema.get("required", [])
        for name, option in schema["properties"].items():
            default = "required" if name in required else f"`{option.get('default')}`"
            lines.append(f"| `{name}` | {_type(option)} | {default} | {option.get('description', '')} |")
        lines.append("")
    return lines


def _type(option: dict[str, Any]) -> str:
    if "anyOf" in option:
        return " or ".join(_type(one) for one in option["anyOf"])
    if "enum" in option:
        return ", ".join(f"`{one}`" for one in option["enum"])
    return {"null": "none"}.get(option.get("type", ""), option.get("type", "value"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    text = page(Catalog())
    if parser.parse_args().check:
        if not PAGE.exists() or PAGE.read_text() != text:
            print(f"{PAGE} is not what the plugins say; run `make docs`.", file=sys.stderr)
            return 1
        return 0
    PAGE.write_text(text)
    print(PAGE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
