"""Blocks to components: `extends` followed, ids looked up, options validated by their own Options, parts within parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from calumma.errors import ComponentError
from calumma.extension import Catalog, ComponentSpec
from calumma.extension.building import mistakes, part_kind
from calumma.extension.nearest import suggestion
from calumma.interfaces import Asset, Options
from calumma.registry.nodes import Mark, Node
from calumma.registry.structure import Problems, Registry

MAX_DEPTH = 16
MAX_PARTS = 5_000


@dataclass(frozen=True)
class Setting:
    """One option's value and where it came from: "file:line", a flag, or "default"."""

    value: Any
    origin: str


@dataclass(frozen=True)
class ResolvedComponent:
    """A component with everything decided.

    Attributes:
        name: its name in the registry; its id where it has none.
        nodes: option -> the node that set it. keys: option -> where its name was written.
        parts: option -> the components that the option takes, in order.
        mark: where it was chosen.
        defaults: option -> default, for options that nobody set.
    """

    kind: str
    id: str
    name: str
    nodes: Mapping[str, Node]
    mark: Mark
    spec: ComponentSpec
    parts: Mapping[str, tuple[ResolvedComponent, ...]] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    keys: Mapping[str, Mark] = field(default_factory=dict)

    @property
    def options(self) -> dict[str, Any]:
        """The options that were set, as plain values."""
        return {name: node.plain() for name, node in self.nodes.items()}

    @property
    def base(self) -> Path | None:
        """The folder that it was written in; None where a flag chose it."""
        return self.mark.base

    @property
    def settings(self) -> dict[str, Setting]:
        """Every option, defaults included, with its origin."""
        given = {name: Setting(node.plain(), str(node.mark)) for name, node in self.nodes.items()}
        return given | {name: Setting(value, "default") for name, value in self.defaults.items() if name not in given}


class Components:
    """Resolves the blocks of one registry against a catalog and gathers what is wrong.

    Attributes:
        problems: mistakes that are wrong whoever reads the file.
        absent: mistakes of components that this installation lacks; fatal only for those that are used.
    """

    def __init__(self, registry: Registry, catalog: Catalog) -> None:
        self.registry, self.catalog = registry, catalog
        self.problems, self.absent = Problems(), Problems()
        self._budget = MAX_PARTS + sum(len(names) for names in registry.components.values())

    def named(self, kind: str, name: str, mark: Mark, path: str, within: tuple[str, ...] = ()) -> ResolvedComponent | None:
        """A component of the registry by name, or by id with its defaults. None where there is a problem."""
        if "/" in name:
            return self._made(kind, name, name, {}, {}, mark, mark, path, within)
        there = self.registry.components.get(kind, {})
        if name not in there:
            self._wrong(mark, path, f"there is no {kind} {name!r}. {suggestion(name, there, f'components of kind {kind!r}')}")
            return None
        if f"{kind}.{name}" in within:
            chain = " -> ".join([*within[within.index(f"{kind}.{name}") :], f"{kind}.{name}"])
            self._wrong(mark, path, f"the component contains itself: {chain}.")
            return None
        return self.block(kind, there[name], f"components.{kind}.{name}", name, (*within, f"{kind}.{name}"))

    def block(
        self, kind: str, block: Node, path: str, name: str = "", within: tuple[str, ...] = ()
    ) -> ResolvedComponent | None:
        """A component of `{use: id, ...}` or `{extends: name, ...}`. None where there is a problem."""
        merged = self._extended(kind, block, path, ())
        if merged is None:
            return None
        use, nodes, keys = merged
        id = str(use.value)
        return self._made(kind, id, name or id, nodes, keys, block.mark, use.mark, path, within)

    def choice(self, kind: str, node: Node, path: str, within: tuple[str, ...] = ()) -> ResolvedComponent | None:
        """A component as a pipeline or a part names it: a name, an id, or a block."""
        if isinstance(node.value, str):
            return self.named(kind, node.value, node.mark, path, within)
        if node.is_mapping:
            return self.block(kind, node, path, within=within)
        self._wrong(node.mark, path, f"{node.plain()!r:.80} is no name of a {kind}, no component id and no {{use: ...}}.")
        return None

    def options(self, component: ResolvedComponent, path: str, within: tuple[str, ...] = ()) -> ResolvedComponent | None:
        """The component with its options validated and its parts resolved."""
        try:
            cls = self.catalog.options_class(component.spec)
        except ComponentError as error:
            self.absent.append(component.mark.problem(path, str(error)))
            return None
        before = len(self.problems)
        parts: dict[str, tuple[ResolvedComponent, ...]] = {}
        for option, field_info in cls.model_fields.items():
            kind, node = part_kind(field_info), component.nodes.get(option)
            if kind is not None and node is not None and node.value is not None:
                many = node.value if isinstance(node.value, list) else [node]
                found = [self.choice(kind, one, f"{path}.{option}", within) for one in many]
                parts[option] = tuple(one for one in found if one is not None)
        self._check(cls, component, path)
        if len(self.problems) > before:
            return None
        defaults = {
            name: plain_default(info.get_default(call_default_factory=True))
            for name, info in cls.model_fields.items()
            if not info.is_required()
        }
        return replace(component, parts=parts, defaults=defaults)

    def _check(self, cls: type[Options], component: ResolvedComponent, path: str) -> None:
        whole = Node(dict(component.nodes), component.mark, component.keys)
        try:
            cls.model_validate(whole.plain())
        except ValidationError as error:
            for place, message in mistakes(error, cls):
                where = ".".join(map(str, [path, *place]))
                self._wrong(_mark_of(component, place, message), where, message)
        except (RecursionError, OverflowError, TypeError, ValueError) as error:
            self._wrong(component.mark, path, f"its options cannot be checked: {error}.")

    def _made(
        self,
        kind: str,
        id: str,
        name: str,
        nodes: dict[str, Node],
        keys: dict[str, Mark],
        mark: Mark,
        use: Mark,
        path: str,
        within: tuple[str, ...],
    ) -> ResolvedComponent | None:
        self._budget -= 1
        if self._budget < 0 or len(within) > MAX_DEPTH:
            self._wrong(mark, path, f"parts within parts: more than {MAX_PARTS} of them, or deeper than {MAX_DEPTH}.")
            return None
        try:
            spec = self.catalog.spec(kind, id)
        except ComponentError as error:
            known = self.catalog.loads(id.partition("/")[0])
            (self.problems if known else self.absent).append(use.problem(path, str(error)))
            return None
        return self.options(ResolvedComponent(kind, id, name, nodes, mark, spec, keys=keys), path, within)

    def _extended(
        self, kind: str, block: Node, path: str, seen: tuple[str, ...]
    ) -> tuple[Node, dict[str, Node], dict[str, Mark]] | None:
        """(the node of `use`, options, where their names stand) of a block with what it extends."""
        own = {key: node for key, node in block.items() if key not in ("use", "extends", "kind")}
        keys = {key: block.key_mark(key) for key in own}
        use, parent = block.get("use"), block.get("extends")
        if use is not None and not (isinstance(use.value, str) and "/" in use.value):
            known = [spec.name for spec in self.catalog.components(kind)]
            hint = suggestion(str(use.value), known, f"components of kind {kind!r}")
            self._wrong(use.mark, f"{path}.use", f"{use.plain()!r:.80} is no component id, such as 'plugin/component'. {hint}")
            return None
        if parent is None:
            if use is None:
                likely = suggestion("use", [key for key in own if key in _LIKE_USE], "keys").partition("There")[0]
                self._wrong(block.mark, path, f"`use: plugin/component` is missing. {likely}".rstrip())
                return None
            return use, own, keys
        there = self.registry.components.get(kind, {})
        if not isinstance(parent.value, str) or parent.value not in there:
            hint = suggestion(str(parent.value), there, f"components of kind {kind!r}")
            self._wrong(parent.mark, f"{path}.extends", f"there is no {kind} {parent.plain()!r:.80}. {hint}")
            return None
        if len(seen) >= MAX_DEPTH:
            self._wrong(parent.mark, f"{path}.extends", f"it extends more than {MAX_DEPTH} others in a row.")
            return None
        if parent.value in seen:
            self._wrong(parent.mark, f"{path}.extends", f"it extends itself: {' -> '.join([*seen, parent.value])}.")
            return None
        above = self._extended(kind, there[parent.value], f"components.{kind}.{parent.value}", (*seen, parent.value))
        if above is None:
            return None
        if use is not None and use.value != above[0].value:
            message = (
                f"{use.value!r} is not what {parent.value!r} uses, {above[0].value!r}. Options of one part do not fit another."
            )
            self._wrong(use.mark, f"{path}.use", message)
            return None
        return use or above[0], above[1] | own, above[2] | keys

    def _wrong(self, mark: Mark, path: str, message: str) -> None:
        self.problems.append(mark.problem(path, message))


_LIKE_USE = ("uses", "used", "us", "ues", "Use", "USE", "component", "id")


def _mark_of(component: ResolvedComponent, place: tuple[str | int, ...], message: str) -> Mark:
    """Where a mistake stands: at the name of an unknown option, else at its value."""
    if not place or str(place[0]) not in component.nodes:
        return component.mark
    first = component.nodes[str(place[0])]
    if len(place) > 1:
        return first.at(place[1:])
    return component.keys.get(str(place[0]), first.mark) if message.startswith("unknown") else first.mark


def plain_default(value: Any) -> Any:
    """A default as a JSON value."""
    if isinstance(value, Asset):
        return value.source
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, (list, tuple)):
        return [plain_default(one) for one in value]
    return value if isinstance(value, (str, int, float, bool, dict, type(None))) else getattr(value, "source", str(value))
