"""Writes a new plugin distribution that passes its own tests, lint and types as written."""

from calumma.scaffold.distribution import Distribution, distribution, write

__all__ = ["Distribution", "distribution", "write"]
