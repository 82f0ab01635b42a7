"""calumma plugins list --timing: what each plugin costs everybody who has it installed."""

from __future__ import annotations

import importlib
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from calumma.extension import Catalog


@dataclass(frozen=True)
class Timing:
    """One plugin: seconds to import it, seconds to ask it, and how many modules it brought in that nobody had before."""

    plugin: str
    import_seconds: float
    ask_seconds: float
    modules: int

    @property
    def seconds(self) -> float:
        """In all."""
        return self.import_seconds + self.ask_seconds


def timings(catalog: Catalog) -> list[Timing]:
    """Every plugin that can be loaded, the slowest first. What plugins share is counted for the first by name.

    The public door of the core is imported before, so that it counts for none.
    """
    importlib.import_module("calumma.interfaces")
    found = [_timing(catalog, info.name, info.target) for info in catalog.plugins() if info.status == "available"]
    return sorted(found, key=lambda one: -one.seconds)


def facts(found: list[Timing]) -> dict[str, Any]:
    """As JSON values."""
    return {"plugins": [asdict(one) for one in found], "total_seconds": sum(one.seconds for one in found)}


def rows(found: list[Timing]) -> list[list[str]]:
    """As cells of a table, the total last."""
    sums = (sum(one.import_seconds for one in found), sum(one.ask_seconds for one in found), sum(one.modules for one in found))
    shown = [*found, Timing("total", *sums)]
    return [[one.plugin, f"{one.import_seconds:.4f}", f"{one.ask_seconds:.4f}", str(one.modules)] for one in shown]


def _timing(catalog: Catalog, name: str, target: str) -> Timing:
    from calumma.extension.loading import Broken, guard

    before, begun = set(sys.modules), time.perf_counter()
    with suppress(Broken), guard():
        importlib.import_module(target.partition(":")[0])
    imported = time.perf_counter()
    catalog.loads(name)
    return Timing(name, imported - begun, time.perf_counter() - imported, len(set(sys.modules) - before))
