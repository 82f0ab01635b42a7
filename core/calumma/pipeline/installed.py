"""Is everything here that a pipeline uses? Told at once, with the one command that installs what is not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import cast

from calumma.errors import ComponentError
from calumma.extension.assets import plugin_of
from calumma.extension.catalog import install_command
from calumma.extension.discovery import find_module
from calumma.extension.nearest import nearest
from calumma.interfaces import Retriever
from calumma.registry import ResolvedComponent, ResolvedPipeline

_INSTALL = "pip install "


def check_installed(resolved: ResolvedPipeline) -> None:
    """Raises ComponentError naming each component, plugin's files and library that is lacking, and how to install them."""
    catalog = resolved.catalog
    plugins = [info.name for info in catalog.plugins()]
    lacking: dict[str, str] = {}
    sources: list[object] = []
    for one in _with_parts(resolved.slots.values()):
        if catalog.status(one.spec)[0] == "missing-extra":
            lacking[one.id] = install_command(one.spec).removeprefix(_INSTALL)
        sources += [one.options.get(option) for option in one.spec.assets]
    if resolved.bank is not None and _searches(resolved, lacking):
        sources.append(resolved.bank.value)
        if find_module("lance") is None or find_module("pyarrow") is None:
            lacking["lance (for its bank)"] = "'calumma[bank]'"
    for plugin in (plugin_of(source) for source in sources if isinstance(source, str)):
        if plugin is not None and plugin not in plugins and nearest(plugin, plugins) is None:  # else it is misspelt
            lacking[f"the files of {plugin}"] = f"calumma-{plugin}"
    if lacking:
        raise ComponentError(
            f"The pipeline {resolved.name!r} needs what is not installed: {', '.join(lacking)}.",
            f"Run: {_INSTALL}{' '.join(dict.fromkeys(lacking.values()))}",
        )


def _searches(resolved: ResolvedPipeline, lacking: Iterable[str]) -> bool:
    spec = resolved.slots["retriever"].spec
    return spec.name in lacking or bool(cast(type[Retriever], resolved.catalog.component_class(spec)).accepts)


def _with_parts(components: Iterable[ResolvedComponent]) -> Iterator[ResolvedComponent]:
    for one in components:
        yield one
        for parts in one.parts.values():
            yield from _with_parts(parts)
