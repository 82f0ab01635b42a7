"""How plugins are found, checked and built."""

from calumma.extension.hookspecs import hookimpl
from calumma.extension.specs import ComponentSpec, KindSpec

__all__ = ["ComponentSpec", "KindSpec", "hookimpl"]
