"""Pages that the code writes itself: components, kinds, commands, Python names, the table of the catalogue."""

from __future__ import annotations

from calumma.extension import Catalog

from . import commands, components, kinds, plugins, python

__all__ = ["pages", "plugins"]


def pages(catalog: Catalog) -> dict[str, str]:
    """Path in the site -> text, of every page that is generated."""
    return {
        **components.pages(catalog),
        "reference/kinds.md": kinds.page(catalog),
        "reference/commands.md": commands.page(),
        **python.pages(),
    }
