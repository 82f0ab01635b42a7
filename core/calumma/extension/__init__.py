"""How plugins are found, checked and built."""

from calumma.extension.catalog import Catalog, ComponentRow
from calumma.extension.discovery import PluginInfo
from calumma.extension.hookspecs import hookimpl
from calumma.extension.specs import ComponentSpec, KindSpec

__all__ = ["Catalog", "ComponentRow", "ComponentSpec", "KindSpec", "PluginInfo", "hookimpl"]
