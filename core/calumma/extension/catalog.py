"""The catalog: which components there are, what state they are in, and how they are built by name."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from calumma.errors import AssetError, CalummaError, ComponentError
from calumma.extension import assets
from calumma.extension.discovery import PluginInfo, Status, discover, find_module
from calumma.extension.kinds import BUILT_IN
from calumma.extension.loading import Broken, Loaded, ask, guard, load, manager
from calumma.extension.nearest import suggestion
from calumma.extension.specs import ComponentSpec, KindSpec

if TYPE_CHECKING:
    from calumma.interfaces import Asset, Component, Options


@dataclass(frozen=True)
class ComponentRow:
    """One line of `calumma plugins list`; `id` and `kind` are None for a plugin that offers none or cannot be asked."""

    id: str | None
    kind: str | None
    plugin: str
    distribution: str
    version: str
    status: Status
    reason: str = ""


class Catalog:
    """Finds plugins without importing them; loads each one that is needed, alone and once.

    Args:
        block: plugins to leave out, beside those of CALUMMA_BLOCK (comma-separated).
        local: files that are plugins; their stem is the plugin's name.
        allow_local: local files run only where this is True; otherwise naming one raises CalummaError.
        use: plugins to register although no component of theirs is named: observers.
    """

    def __init__(
        self, block: Iterable[str] = (), local: Iterable[Path] = (), allow_local: bool = False, use: Iterable[str] = ()
    ) -> None:
        self._allow_local = allow_local
        self._blocked = frozenset(name.strip() for name in os.environ.get("CALUMMA_BLOCK", "").split(",") if name.strip())
        self._local: tuple[Path, ...] = ()
        self._plugins: list[PluginInfo] = []
        self._added: list[PluginInfo] = []
        self._loaded: dict[str, Loaded | Broken] = {}
        self._registered = manager()
        self._refresh()
        self.extend(block, local, use)

    def extend(self, block: Iterable[str] = (), local: Iterable[Path] = (), use: Iterable[str] = ()) -> None:
        """Adds to what the constructor was told, as a registry's `plugins:` section does. Idempotent."""
        blocked = self._blocked | frozenset(block)
        files = dict.fromkeys([*self._local, *(Path(os.path.abspath(path)) for path in local)])
        if files and not self._allow_local:
            raise CalummaError(
                f"The local plugin {next(iter(files))} is not run unasked.",
                "Read it, then add --allow-local (allow_local=True).",
            )
        for file in files:
            if not file.is_file():
                raise ComponentError(f"The local plugin {file} does not exist.", "Correct its path under `plugins: local:`.")
        if blocked != self._blocked or tuple(files) != self._local:
            self._blocked, self._local = blocked, tuple(files)
            self._refresh()
        for name in use:
            self.require(name)

    def add(self, name: str, plugin: object) -> None:
        """Registers a plugin object under a name, as if it were installed: for programs and tests. Raises ComponentError."""
        info = PluginInfo(name, "", "this program", "")
        try:
            self._loaded[name] = ask(info, plugin)
        except Broken as error:
            raise ComponentError(f"The plugin {name!r} is broken: {error}.", "Mend it.") from error
        self._added = [*(one for one in self._added if one.name != name), info]
        self._refresh()
        self.require(name)

    def _refresh(self) -> None:
        names = {info.name for info in self._added}
        self._plugins = [*(info for info in discover(self._blocked, self._local) if info.name not in names), *self._added]
        for name in self._blocked | {file.stem for file in self._local}:
            self._loaded.pop(name, None)
            if self._registered.has_plugin(name):
                self._registered.unregister(name=name)

    # --- what there is ---

    def plugins(self) -> list[PluginInfo]:
        """Every plugin, by metadata alone: nothing is imported."""
        return list(self._plugins)

    def rows(self) -> list[ComponentRow]:
        """Every component of every plugin, and a row for each plugin that could not be asked. Loads all plugins."""
        rows: list[ComponentRow] = []
        for info in self._plugins:
            loaded = self._load(info) if info.status == "available" else Broken(info.reason)
            if isinstance(loaded, Broken):
                status: Status = "broken" if info.status == "available" else info.status
                rows.append(ComponentRow(None, None, info.name, info.distribution, info.version, status, str(loaded)))
                continue
            for spec in loaded.components:
                state, reason = self.status(spec)
                rows.append(ComponentRow(spec.name, spec.kind, info.name, info.distribution, info.version, state, reason))
            if not loaded.components:
                kinds = ", ".join(kind.name for kind in loaded.kinds)
                reason = f"offers the kind{'s' * (len(loaded.kinds) > 1)} {kinds}" if kinds else "offers no components"
                rows.append(ComponentRow(None, None, info.name, info.distribution, info.version, "available", reason))
        return rows

    def kinds(self) -> dict[str, KindSpec]:
        """Every kind by name: the core's own, and those of all plugins."""
        for info in self._plugins:
            self._load(info)
        return self._known_kinds()

    def kind(self, name: str) -> KindSpec:
        """One kind. Raises ComponentError that names the nearest."""
        known = self._known_kinds()
        if name not in known:
            known = self.kinds()
        if name not in known:
            raise ComponentError(f"There is no kind of component {name!r}.", suggestion(name, known, "kinds"))
        return known[name]

    def components(self, kind: str) -> list[ComponentSpec]:
        """All components of a kind that loadable plugins offer. Loads all plugins."""
        return [spec for info in self._plugins for spec in self._components(info) if spec.kind == kind]

    def spec(self, kind: str, id: str) -> ComponentSpec:
        """The component `id` of a kind; its plugin is loaded and registered, its libraries are not.

        Raises ComponentError: blocked, broken, in conflict, or unknown, with what exists, the nearest name and how to install.
        """
        plugin = id.partition("/")[0]
        if any(info.name == plugin for info in self._plugins):
            found = [spec for spec in self.require(plugin).components if spec.name == id]
            self.kind(kind)
            for spec in found:
                if spec.kind == kind:
                    return spec
            if found:
                raise ComponentError(
                    f"{id} is a component of kind {found[0].kind!r}, not {kind!r}.",
                    suggestion(id, (spec.name for spec in self.components(kind)), f"components of kind {kind!r}"),
                )
        self.kind(kind)
        there = [spec.name for spec in self.components(kind)]
        fix = suggestion(id, there, f"components of kind {kind!r}")
        if "/" in id and not any(info.name == plugin for info in self._plugins):
            fix += f" By convention the plugin {plugin!r} comes with: pip install calumma-{plugin}"
        raise ComponentError(f"There is no component {id!r} of kind {kind!r}.", fix)

    def loads(self, plugin: str) -> bool:
        """Whether a plugin is there and can be asked; where not, what it offers cannot be known."""
        return any(not isinstance(self._load(info), Broken) for info in self._plugins if info.name == plugin)

    def status(self, spec: ComponentSpec) -> tuple[Status, str]:
        """(status, reason) of a component whose plugin could be asked; looks for modules without importing them."""
        missing = [module for module in spec.requires if find_module(module) is None]
        if missing:
            return "missing-extra", f"needs {', '.join(missing)}: {install_command(spec)}"
        if spec.kind not in self._known_kinds() and spec.kind not in self.kinds():
            return "broken", f"its kind {spec.kind!r} does not exist"
        for target in (spec.target, spec.options):
            module = target.partition(":")[0]
            if self._local_module(spec, module) is None and module not in sys.modules and find_module(module) is None:
                return "broken", f"its module {module} does not exist"
        return "available", ""

    def require(self, name: str) -> Loaded:
        """Loads a plugin and registers it, so that its observers are called. Raises ComponentError."""
        matching = [info for info in self._plugins if info.name == name]
        info = next((one for one in matching if one.status == "available"), matching[0] if matching else None)
        if info is None:
            there = suggestion(name, (one.name for one in self._plugins), "plugins")
            fix = f"{there} If you mean another, install it: pip install calumma-{name}"
            raise ComponentError(f"There is no plugin {name!r}.", fix)
        if info.status != "available":
            raise ComponentError(f"The plugin {name!r} is {_STATES[info.status]}: {info.reason}.", _REMEDIES[info.status])
        loaded = self._load(info)
        if isinstance(loaded, Broken):
            raise ComponentError(
                f"The plugin {name!r} (of {info.file or info.distribution}) is broken: {str(loaded).rstrip('.')}.",
                "Mend or upgrade it, or leave it out: CALUMMA_BLOCK=" + name,
            ) from loaded
        if not self._registered.has_plugin(name):
            if self._registered.is_registered(loaded.plugin):  # one object may not be registered under two names
                return loaded
            self._registered.register(loaded.plugin, name)
        return loaded

    # --- classes and objects ---

    def options_class(self, spec: ComponentSpec) -> type[Options]:
        """The component's Options; imports that module alone. Raises ComponentError."""
        from calumma.interfaces import Options

        found = self._attribute(spec, spec.options)
        if not (isinstance(found, type) and issubclass(found, Options)):
            raise ComponentError(f"{spec.name} is broken: {spec.options} is no subclass of calumma.interfaces.Options.")
        return found

    def component_class(self, spec: ComponentSpec) -> type[Component]:
        """The component's class; imports its module. Raises ComponentError: an extra is missing, or it is not of its kind."""
        from calumma.interfaces import Component

        status, reason = self.status(spec)
        if status == "missing-extra":
            raise ComponentError(f"{spec.name} {reason.partition(':')[0]}, which is not installed.", install_command(spec))
        if status != "available":
            raise ComponentError(f"{spec.name} is broken: {reason}.", "Mend or upgrade its plugin.")
        found = self._attribute(spec, spec.target)
        interface = self.interface(spec.kind)
        if not (isinstance(found, type) and issubclass(found, Component) and issubclass(found, interface)):
            raise ComponentError(
                f"{spec.name} is broken: {spec.target} is no {interface.__name__}.", "Mend or upgrade its plugin."
            )
        lacking = sorted(getattr(found, "__abstractmethods__", ()))
        if lacking:
            raise ComponentError(
                f"{spec.name} is broken: {spec.target} lacks {', '.join(lacking)}, which a {spec.kind} must have.",
                "Mend or upgrade its plugin.",
            )
        return found

    def contract(self, kind: str) -> type:
        """The contract test class of a kind. Raises ComponentError where it has none."""
        found = self.kind(kind)
        if not found.contract:
            raise ComponentError(f"The kind {kind!r} has no contract.", "Ask the plugin that brings the kind for one.")
        contract = self._of_kind(found, found.contract)
        if not isinstance(contract, type):
            raise ComponentError(f"The kind {kind!r} is broken: {found.contract} is no class.")
        return contract

    def example(self, spec: ComponentSpec, folder: Path) -> dict[str, Any]:
        """Options of a small instance; what files it needs are written into `folder`, which is empty. Raises ComponentError."""
        if not spec.example:
            return {}
        make = self._attribute(spec, spec.example)
        try:
            with guard():
                if not callable(make):
                    raise Broken("it is not a function")
                options = make(folder)
        except Broken as error:
            raise ComponentError(f"{spec.name} is broken: its example {spec.example}: {error}", "Mend its plugin.") from error
        if not isinstance(options, Mapping):
            raise ComponentError(f"{spec.name} is broken: its example {spec.example} gives no options.", "Mend its plugin.")
        return dict(options)

    def build(
        self, kind: str, id: str, options: Mapping[str, Any] | Options | None = None, base: Path | None = None, name: str = ""
    ) -> Component:
        """A component with validated options and resolved assets; no weights are loaded.

        Args:
            options: values by option name, or an Options object; a part is `{use: id, ...}`, an id, or a built component.
            base: the folder that relative assets are beside; None for the working directory.
            name: what to call it in errors; its id if empty.

        Raises ComponentError and AssetError.
        """
        from calumma.extension.building import construct

        return construct(self, self.spec(kind, id), {} if options is None else options, base, name or id)

    def resolve_asset(self, asset: Asset | str, base: Path | None = None) -> Path:
        """The absolute path of a path, `PLUGIN:file` or `hf:org/repo/file@revision`. Raises AssetError.

        Args:
            base: the folder that a relative path is beside; None for the working directory.
        """
        source = asset if isinstance(asset, str) else asset.source
        if source.startswith("hf:"):
            return assets.file_of_hub(source)
        plugin = assets.plugin_of(source)
        if plugin is None:
            return assets.file_at(source, base)
        return assets.file_of_plugin(source, self._assets_folder(plugin, source))

    # --- observers ---

    def notify(self, hook: str, **facts: Any) -> None:
        """Calls every registered observer of a hook; one that raises is reported once on stderr and dropped."""
        for implementation in reversed(getattr(self._registered.hook, hook).get_hookimpls()):
            try:
                with guard():
                    implementation.function(*(facts[name] for name in implementation.argnames))
            except Broken as error:
                name = implementation.plugin_name
                print(f"calumma: the plugin {name!r} failed in {hook} and is dropped: {error}", file=sys.stderr)
                self._registered.unregister(name=name)

    # --- inside ---

    def _load(self, info: PluginInfo) -> Loaded | Broken:
        if info.status != "available":
            return Broken(info.reason)
        if info.name not in self._loaded:
            try:
                self._loaded[info.name] = load(info)
            except Broken as error:
                self._loaded[info.name] = error
        return self._loaded[info.name]

    def _components(self, info: PluginInfo) -> tuple[ComponentSpec, ...]:
        loaded = self._load(info)
        return () if isinstance(loaded, Broken) else loaded.components

    def _known_kinds(self) -> dict[str, KindSpec]:
        known = {kind.name: kind for kind in BUILT_IN}
        for loaded in self._loaded.values():
            for kind in () if isinstance(loaded, Broken) else loaded.kinds:
                known.setdefault(kind.name, kind)
        return known

    def interface(self, name: str) -> type:
        """The class that components of a kind inherit. Raises ComponentError."""
        kind = self.kind(name)
        interface = self._of_kind(kind, kind.interface)
        if not isinstance(interface, type):
            raise ComponentError(f"The kind {kind.name!r} is broken: {kind.interface} is no class.")
        return interface

    def _of_kind(self, kind: KindSpec, target: str) -> object:
        owner = next((one for one in self._loaded.values() if not isinstance(one, Broken) and kind in one.kinds), None)
        return _lookup(target, owner.module if owner and owner.info.file else None, f"the kind {kind.name!r}")

    def _local_module(self, spec: ComponentSpec, module: str) -> ModuleType | None:
        """The module object where a spec of a local file, or of a plugin object, names its own plugin."""
        loaded = self._loaded.get(spec.name.partition("/")[0])
        return loaded.module if isinstance(loaded, Loaded) and loaded.info.file and module == loaded.info.name else None

    def _attribute(self, spec: ComponentSpec, target: str) -> object:
        return _lookup(target, self._local_module(spec, target.partition(":")[0]), spec.name)

    def _assets_folder(self, plugin: str, source: str) -> Path:
        info = next((one for one in self._plugins if one.name == plugin), None)
        if info is None:
            there = suggestion(plugin, (one.name for one in self._plugins), "plugins")
            raise AssetError(
                f"The asset {source!r} is of the plugin {plugin!r}, which is not installed.",
                f"Run: pip install calumma-{plugin} ({there})",
            )
        if info.status != "available":
            raise AssetError(
                f"The asset {source!r} is of a plugin that is {_STATES[info.status]}: {info.reason}.", _REMEDIES[info.status]
            )
        if info.file is not None:
            return info.file.parent / "assets"
        spec = find_module(info.target.partition(":")[0])
        if spec is None or spec.origin is None:
            raise AssetError(f"The asset {source!r} cannot be found: the module {info.target} of its plugin does not exist.")
        return Path(spec.origin).parent / "assets"


_STATES = {"blocked": "blocked", "conflict": "in conflict", "incompatible": "incompatible"}
_REMEDIES = {
    "blocked": "Take it off `plugins: block:` and CALUMMA_BLOCK.",
    "conflict": "Uninstall one of the two.",
    "incompatible": "Install a version of it that is made for this calumma.",
}


def install_command(spec: ComponentSpec) -> str:
    """What to type to install the libraries of a component."""
    wanted = spec.install or " ".join(spec.requires) or f"calumma-{spec.name.partition('/')[0]}"
    return f"pip install '{wanted}'" if "[" in wanted else f"pip install {wanted}"


def _lookup(target: str, module: ModuleType | None, owner: str) -> object:
    name, _, attribute = target.partition(":")
    try:
        with guard():
            found: object = module or importlib.import_module(name)
            for part in attribute.split("."):
                found = getattr(found, part)
            return found
    except Broken as error:
        raise ComponentError(
            f"{owner} is broken: {target} cannot be imported: {error}", "Mend or upgrade its plugin."
        ) from error
