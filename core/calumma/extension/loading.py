"""Imports one plugin, asks it and checks what it says, alone and behind a guard: one broken plugin never stops the others."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import pluggy

from calumma.extension import hookspecs
from calumma.extension.discovery import PluginInfo
from calumma.extension.nearest import suggestion
from calumma.extension.specs import ComponentSpec, KindSpec

HOOKS = tuple(name for name in vars(hookspecs) if name.startswith("calumma_"))
_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
_FILE = re.compile(r"[A-Za-z_][\w.]*:(?!/)(?!.*\.\.).+")
_MOST = 1000
T = TypeVar("T")


class Broken(Exception):  # noqa: N818  (the name of a status)
    """What a plugin did wrong; the message is the reason shown to the user."""


@dataclass(frozen=True)
class Loaded:
    """A plugin that was imported and answered.

    Attributes:
        plugin: the object that holds its hook implementations.
        module: the module it came from; component targets of a local file are looked up in it.
    """

    info: PluginInfo
    plugin: object
    module: ModuleType | None
    components: tuple[ComponentSpec, ...]
    kinds: tuple[KindSpec, ...]


def manager() -> pluggy.PluginManager:
    """A plugin manager that knows Calumma's hooks and has no plugins."""
    plugins = pluggy.PluginManager(hookspecs.PROJECT)
    plugins.add_hookspecs(hookspecs)
    return plugins


@contextlib.contextmanager
def guard() -> Iterator[None]:
    """Turns whatever foreign code raises, SystemExit included, into Broken; what it prints goes to stderr."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    except (KeyboardInterrupt, Broken):
        raise
    except BaseException as error:
        text = " ".join(str(error).split())[:300]
        raise Broken(f"{type(error).__name__}: {text}" if text else type(error).__name__) from error


def load(info: PluginInfo) -> Loaded:
    """Imports and checks one plugin. Raises Broken with the reason."""
    with guard():
        plugin, module = _imported(info)
    return ask(info, plugin, module)


def ask(info: PluginInfo, plugin: object, module: ModuleType | None = None) -> Loaded:
    """Asks a plugin object for its components and kinds and checks them. Raises Broken."""
    with guard():
        _check_hooks(plugin)
        alone = manager()
        alone.register(plugin, info.name)
        alone.check_pending()
        components = _materialised(alone.hook.calumma_components, ComponentSpec)
        kinds = _materialised(alone.hook.calumma_kinds, KindSpec)
        _check_components(info.name, components)
        for kind in kinds:
            _check(
                _is_target(kind.interface), f"the kind {kind.name!r} has the interface {kind.interface!r}, not 'module:Class'"
            )
            _check(
                not kind.template or bool(_FILE.fullmatch(kind.template)),
                f"the kind {kind.name!r} has the template {kind.template!r}, not 'package:file'",
            )
    return Loaded(info, plugin, module, components, kinds)


def _imported(info: PluginInfo) -> tuple[object, ModuleType]:
    if info.file is not None:
        module = _local_module(info.file)
        return module, module
    name, _, attribute = info.target.partition(":")
    module = importlib.import_module(name)
    plugin: object = module
    for part in filter(None, attribute.split(".")):
        plugin = getattr(plugin, part)
    return plugin, module


def _local_module(file: Path) -> ModuleType:
    """Imports a file under a name that depends on its path, so that `json.py` hides no other module."""
    name = f"calumma_local_{hashlib.sha256(str(file).encode()).hexdigest()[:12]}_{re.sub(r'[^0-9A-Za-z_]', '_', file.stem)}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise Broken(f"{file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _check_hooks(plugin: object) -> None:
    """pluggy ignores a misspelt or unmarked hook in silence; here it is an error."""
    home = getattr(plugin, "__name__", None)
    for name in dir(plugin):
        value = getattr(plugin, name, None)
        if not callable(value):
            continue
        marked = getattr(value, f"{hookspecs.PROJECT}_impl", None)
        ours = name.startswith("calumma_") and getattr(value, "__module__", home) == home
        if (marked is not None or ours) and name not in HOOKS:
            raise Broken(f"{name} is not a hook of calumma. {suggestion(name, HOOKS, 'hooks')}")
        if name in HOOKS and marked is None:
            raise Broken(f"{name} lacks the decorator @hookimpl")
        if marked is not None and (marked.get("wrapper") or marked.get("hookwrapper")):
            raise Broken(f"{name} is a wrapper; hooks of calumma are plain functions")


def _materialised(hook: Callable[[], list[Any]], expected: type[T]) -> tuple[T, ...]:
    answers: list[T] = []
    for result in hook():
        for one in islice(result, _MOST + 1):
            if not isinstance(one, expected):
                raise Broken(f"it offers {one!r:.100}, which is no {expected.__name__}")
            answers.append(one)
    _check(len(answers) <= _MOST, f"it offers more than {_MOST} of {expected.__name__}")
    return tuple(answers)


def _check_components(plugin: str, specs: tuple[ComponentSpec, ...]) -> None:
    seen: set[tuple[str, str]] = set()
    pattern = re.compile(re.escape(plugin) + r"/[A-Za-z0-9][\w.-]*(@[1-9]\d*)?")
    for spec in specs:
        texts = (spec.kind, spec.name, spec.summary, spec.target, spec.options, spec.install, spec.licence)
        _check(all(isinstance(text, str) for text in texts), f"the component {spec.name!r} has a field that is no text")
        _check(bool(pattern.fullmatch(spec.name)), f"the component {spec.name!r} is not named {plugin + '/NAME'!r}")
        _check((spec.kind, spec.name) not in seen, f"the component {spec.name!r} is offered twice")
        for target in (spec.target, spec.options):
            _check(_is_target(target), f"the component {spec.name!r} has the target {target!r}, not 'module:Class'")
        _check(
            not isinstance(spec.requires, str) and all(isinstance(module, str) and module for module in spec.requires),
            f"the component {spec.name!r} has `requires` that are no sequence of module names",
        )
        seen.add((spec.kind, spec.name))


def _is_target(text: object) -> bool:
    return isinstance(text, str) and bool(_TARGET.fullmatch(text))


def _check(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Broken(otherwise)
