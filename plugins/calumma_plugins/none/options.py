"""Options of none/none: there are none."""

from __future__ import annotations

from calumma.interfaces import Options


class NothingOptions(Options):
    """Nothing to choose."""
