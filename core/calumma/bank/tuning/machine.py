"""What a speed depends on beside the options: the machine, and the versions of the libraries."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path

from calumma.errors import CalummaError
from calumma.extension import Catalog


def machine() -> dict[str, str | int]:
    """Processor, cores that may be used, memory in bytes, system."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    facts: dict[str, str | int] = {"processor": _processor(), "cores": cores, "system": platform.platform()}
    try:
        facts["memory"] = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # no such names on this platform
        facts["memory"] = 0
    return facts


def versions(retriever: str) -> dict[str, str]:
    """Distribution -> version, of Calumma, NumPy and the libraries that this component id needs."""
    modules: tuple[str, ...] = ()
    with suppress(CalummaError):  # of this program, not of a plugin
        modules = Catalog().spec("retriever", retriever).requires
    there = _distributions()
    found = {}
    for name in sorted({"calumma", "numpy", *(one for module in modules for one in there.get(module.partition(".")[0], []))}):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@cache
def _distributions() -> Mapping[str, list[str]]:
    return packages_distributions()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()
