"""Finds plugins by the metadata of installed distributions and by local files; imports none of them."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Literal

GROUP = "calumma.plugins.v1"
FAMILY = "calumma.plugins.v"

Status = Literal["available", "missing-extra", "broken", "blocked", "conflict", "incompatible"]


@dataclass(frozen=True)
class PluginInfo:
    """One plugin as its distribution's metadata describes it.

    Attributes:
        name: the entry point's name, or the stem of a local file; it prefixes the plugin's component ids.
        target: "package.module" or "package.module:attribute"; empty for a local file.
        distribution, version: who ships it; "local file" and "" for a local file.
        status: `available` until it is loaded; `blocked`, `conflict` and `incompatible` are known without loading.
        reason: one sentence, where the status is not `available`.
        file: the local file, or None.
    """

    name: str
    target: str
    distribution: str
    version: str
    status: Status = "available"
    reason: str = ""
    file: Path | None = None


def discover(blocked: frozenset[str] = frozenset(), local: Sequence[Path] = ()) -> list[PluginInfo]:
    """Every plugin that is installed or named as a local file, ordered by name; several of one name are a `conflict`."""
    found = [*_installed(), *(PluginInfo(path.stem, "", "local file", "", file=path) for path in local)]
    usable: dict[str, list[PluginInfo]] = {}
    for plugin in found:
        if plugin.status == "available":
            usable.setdefault(plugin.name, []).append(plugin)
    answer = []
    for plugin in found:
        rivals = usable.get(plugin.name, [])
        if plugin.name in blocked:
            plugin = replace(plugin, status="blocked", reason="left out by `plugins: block:` or CALUMMA_BLOCK")
        elif plugin.status == "available" and len(rivals) > 1:
            owners = " and ".join(sorted(str(rival.file or rival.distribution) for rival in rivals))
            plugin = replace(plugin, status="conflict", reason=f"{owners} both offer a plugin named {plugin.name!r}")
        answer.append(plugin)
    return sorted(answer, key=lambda plugin: (plugin.name, plugin.distribution))


def _installed() -> Iterator[PluginInfo]:
    seen: set[str] = set()
    for distribution in distributions():
        try:
            text = distribution.read_text("entry_points.txt")
            if not text or FAMILY not in text:
                continue
            name = distribution.metadata["Name"]
            if name.lower() in seen:  # the same distribution further down sys.path is shadowed
                continue
            seen.add(name.lower())
            yield from _plugins_of(distribution, name)
        except Exception as error:  # a damaged distribution of somebody else must not stop ours
            print(f"calumma: metadata of a distribution cannot be read: {error}", file=sys.stderr)


def _plugins_of(distribution: Distribution, name: str) -> list[PluginInfo]:
    version = distribution.version
    plugins = []
    for point in distribution.entry_points:
        if point.group == GROUP:
            plugins.append(PluginInfo(point.name, point.value.replace(" ", ""), name, version))
        elif point.group.startswith(FAMILY):
            reason = f"made for {point.group}; this calumma loads {GROUP}"
            plugins.append(PluginInfo(point.name, point.value, name, version, "incompatible", reason))
    return plugins


def find_module(name: str) -> importlib.machinery.ModuleSpec | None:
    """The module's spec, found without importing it or its parent packages; None where there is none."""
    parts = name.split(".")
    try:
        spec = importlib.util.find_spec(parts[0]) if parts[0] else None
        for depth in range(2, len(parts) + 1):
            if spec is None or spec.submodule_search_locations is None:
                return None
            spec = importlib.machinery.PathFinder.find_spec(".".join(parts[:depth]), list(spec.submodule_search_locations))
    except (ImportError, ValueError, AttributeError):
        return None
    return spec
