"""The table of installed plugins, for the catalogue."""

from __future__ import annotations

from calumma.cli.plugins import component_facts
from calumma.extension import Catalog

from .components import stem
from .markdown import table


def catalogue(catalog: Catalog) -> str:
    """Plugin, what it offers, how to install it: a row for each installed plugin that can be asked."""
    rows = []
    for info in catalog.plugins():
        if info.status != "available" or not catalog.loads(info.name):
            continue
        specs = catalog.require(info.name).components
        offers = ", ".join(f"[`{spec.name}`](reference/components/{stem(spec)}.md)" for spec in specs) or "observers or assets"
        installs = list(dict.fromkeys(f"`{component_facts(catalog, spec)['install']}`" for spec in specs))
        rows.append([f"`{info.name}`", offers, " ".join(installs), f"{info.distribution} {info.version}"])
    return "\n".join(table(("plugin", "offers", "install", "distribution"), rows))
