"""The steps over a registry: validate everything in it, or resolve one pipeline of it with swaps and sets."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from calumma.errors import CalummaError, Problem, RegistryError
from calumma.extension import Catalog
from calumma.extension.nearest import suggestion
from calumma.registry.components import Components, ResolvedComponent, Setting
from calumma.registry.nodes import Mark, Node, node_of
from calumma.registry.parse import registry_error
from calumma.registry.pipelines import Pipelines
from calumma.registry.structure import Enough, fail_on, read


@dataclass(frozen=True)
class ResolvedPipeline:
    """One pipeline with every choice made; nothing is built.

    Attributes:
        file: the registry. name: the pipeline.
        slots: slot -> component.
        bank: the bank's path as it was written, with its origin; None where the pipeline has none. bank_name: "" for a path.
        catalog: the plugins it was resolved against.
    """

    file: Path
    name: str
    slots: Mapping[str, ResolvedComponent]
    bank: Setting | None
    bank_name: str
    bank_mark: Mark | None
    catalog: Catalog

    def bank_path(self) -> Path | None:
        """The absolute path of the bank. Raises AssetError where it is not there."""
        if self.bank is None or self.bank_mark is None:
            return None
        return self.catalog.resolve_asset(self.bank.value, self.bank_mark.base)

    def problem(self, slot: str, message: str, option: str = "") -> Problem:
        """A problem at the line (or flag) that chose a slot's component or set one of its options; slot "bank" is the bank."""
        mark = self.bank_mark if slot == "bank" else None
        component = self.slots.get(slot)
        if component is not None:
            mark = component.nodes[option].mark if option in component.nodes else component.mark
        return (mark or Mark(self.file)).problem(".".join(filter(None, [slot, option])), message)

    def error(self, problems: Iterable[Problem], fix: str = "") -> RegistryError:
        """The error of problems found while wiring."""
        return registry_error(problems, fix)


def validate(
    file: Path | str, catalog: Catalog | None = None, allow_local: bool = False, use: Iterable[str] = ()
) -> list[Problem]:
    """Every mistake in a registry and its includes, in the order of lines; empty for a valid one. Imports no heavy library."""
    try:
        registry = read(file)
    except RegistryError as error:
        return error.problems
    components = Components(registry, _catalog(catalog, allow_local, use))
    with contextlib.suppress(Enough):
        _check(components)
    return _ordered([*registry.problems, *components.problems, *components.absent], registry.file)


def resolve(
    file: Path | str,
    pipeline: str = "default",
    swap: Mapping[str, Any] | None = None,
    set: Mapping[str, Any] | None = None,
    bank: str | Path | None = None,
    catalog: Catalog | None = None,
    allow_local: bool = False,
    use: Iterable[str] = (),
) -> ResolvedPipeline:
    """One pipeline of a registry; swaps first, then sets.

    Args:
        swap: slot -> name of the registry, component id, or block `{use: ...}`; "bank" -> name or path.
        set: "slot.option" (deeper with more dots) -> value.
        bank: a bank's name, or a path.
        catalog: extended by the registry's `plugins:` section; a new one where None.

    Raises RegistryError with every mistake of the file and the flags. A component whose plugin is not installed counts only
    where this pipeline uses it.
    """
    registry = read(file)
    components = Components(registry, _catalog(catalog, allow_local, use))
    slots: dict[str, Node] = {}
    chosen: dict[str, ResolvedComponent] = {}
    with contextlib.suppress(Enough):
        pipelines = _check(components)
        components.absent.clear()  # of those that this pipeline does not use
        slots = _slots(pipelines, pipeline, dict(swap or {}) | ({} if bank is None else {"bank": bank}), bank is not None)
        chosen = _chosen(pipelines, pipeline, slots)
        chosen = _set(components, chosen, slots, dict(set or {}))
    fail_on(_ordered([*registry.problems, *components.problems, *components.absent], registry.file))
    name, path = pipelines.bank(slots["bank"], "bank") or ("", None) if "bank" in slots else ("", None)
    setting = None if path is None else Setting(path.value, str(path.mark))
    return ResolvedPipeline(
        registry.file, pipeline, chosen, setting, name, None if path is None else path.mark, components.catalog
    )


def catalog_of(file: Path | str, allow_local: bool = False, use: Iterable[str] = ()) -> Catalog:
    """The catalog that a registry's `plugins:` section asks for. Raises CalummaError."""
    components = Components(read(file), _catalog(None, allow_local, use))
    _take_plugins(components)
    fail_on(_ordered([*components.registry.problems, *components.problems], components.registry.file))
    return components.catalog


def _catalog(catalog: Catalog | None, allow_local: bool, use: Iterable[str]) -> Catalog:
    if catalog is None:
        return Catalog(allow_local=allow_local, use=use)
    catalog.extend(use=use)
    return catalog


def _take_plugins(components: Components) -> None:
    """Extends the catalog by what `plugins:` says."""
    registry, catalog = components.registry, components.catalog
    catalog.extend(block=[str(node.value) for node in registry.block])
    for section in ("local", "use"):
        for i, node in enumerate(getattr(registry, section)):
            try:
                if section == "local":
                    catalog.extend(local=[(node.mark.base or Path()) / node.value])
                else:
                    catalog.extend(use=[node.value])
            except (CalummaError, ValueError) as error:
                components.problems.append(node.mark.problem(f"plugins.{section}[{i}]", str(error)))


def _check(components: Components) -> Pipelines:
    """Takes the plugins in and checks every component and every pipeline of the registry."""
    _take_plugins(components)
    for kind, blocks in components.registry.components.items():
        try:
            components.catalog.kind(kind)
        except CalummaError as error:
            components.problems.append(components.registry.kinds[kind].problem(f"components.{kind}", str(error)))
            continue
        for name, block in blocks.items():
            components.named(kind, name, block.mark, f"components.{kind}.{name}")
    pipelines = Pipelines(components)
    for name in components.registry.pipelines:
        pipelines.check_own(name)
    return pipelines


def _slots(pipelines: Pipelines, name: str, swap: Mapping[str, Any], by_bank: bool) -> dict[str, Node]:
    """Slot -> node of a pipeline, swaps done; {} where there is a problem."""
    blocks = pipelines.registry.pipelines
    if name not in blocks:
        message = f"there is no pipeline {name!r}. {suggestion(name, blocks, 'pipelines')}"
        pipelines.problems.append(Mark(pipelines.registry.file).problem("pipelines", message))
        return {}
    slots = pipelines.slots(name)
    if slots is None:
        return {}
    pipelines.check_required(slots, blocks[name].mark, f"pipelines.{name}")
    return slots | _swapped(pipelines, slots, swap, by_bank)


def _chosen(pipelines: Pipelines, name: str, slots: Mapping[str, Node]) -> dict[str, ResolvedComponent]:
    chosen: dict[str, ResolvedComponent] = {}
    for slot, node in slots.items():
        path = slot if node.mark.file is None else f"pipelines.{name}.{slot}"
        found = pipelines.choice(slot, node, path, pipelines.key(name, slot, node.mark))
        if found is not None:
            chosen[slot] = found
    return chosen


def _swapped(pipelines: Pipelines, slots: Mapping[str, Node], swap: Mapping[str, Any], by_bank: bool) -> dict[str, Node]:
    answer = {}
    for slot, value in swap.items():
        if slot == "bank":
            answer[slot] = pipelines.bank_from_flag(value, "--bank" if by_bank else "--swap bank")
            continue
        node = node_of(value, Mark(None, flag=f"--swap {slot}"))
        if slot in slots and not node.is_mapping:
            kind = pipelines.kind_of(slot, slots[slot])
            if kind is not None and kind != slot and isinstance(value, str):
                key = "use" if "/" in value else "extends"
                node = node_of({"kind": kind, key: value}, node.mark)
        if slot not in slots and pipelines.kind_of(slot, node) is None:
            pipelines.problems.append(node.mark.problem("", f"there is no slot {slot!r}. {suggestion(slot, slots, 'slots')}"))
            continue
        answer[slot] = node
    return answer


def _set(
    components: Components, chosen: dict[str, ResolvedComponent], slots: Mapping[str, Node], set: Mapping[str, Any]
) -> dict[str, ResolvedComponent]:
    changed: dict[str, dict[str, Node]] = {}
    for key, value in set.items():
        mark = Mark(None, flag=f"--set {key}")
        slot, *path = key.split(".")
        if slot not in slots:
            components.problems.append(mark.problem("", f"there is no slot {slot!r}. {suggestion(slot, slots, 'slots')}"))
        elif slot == "bank":
            components.problems.append(mark.problem("", "a bank has no options. Choose one with --bank."))
        elif not path or not all(path):
            components.problems.append(mark.problem("", "a set names an option: slot.option=value."))
        elif slot in chosen:
            nodes = changed.setdefault(slot, dict(chosen[slot].nodes))
            node = value if isinstance(value, Node) else node_of(value, mark)
            nodes[path[0]] = _put(nodes.get(path[0]), path[1:], node, mark)
    answer = dict(chosen)
    for slot, nodes in changed.items():
        keys = {option: chosen[slot].keys.get(option, node.mark) for option, node in nodes.items()}
        found = components.options(replace(chosen[slot], nodes=nodes, keys=keys), slot)
        answer[slot] = found or chosen[slot]
    return answer


def _put(old: Node | None, path: list[str], value: Node, mark: Mark) -> Node:
    """`old` with `value` at a path of keys; what is on the way is kept."""
    if not path:
        return value
    entries = dict(old.value) if old is not None and old.is_mapping else {}
    if old is not None and isinstance(old.value, str) and "/" in old.value:
        entries = {"use": old}  # `--set slot.part.option`, where the part is an id
    entries[path[0]] = _put(entries.get(path[0]), path[1:], value, mark)
    keys = dict(old.keys or {}) if old is not None else {}
    return Node(entries, old.mark if old is not None and len(entries) > 1 else mark, keys | {path[0]: mark})


def _ordered(problems: Iterable[Problem], file: Path) -> list[Problem]:
    """Without repetition (what one component extends is said once); the outermost file first, then by line."""
    found: dict[object, Problem] = {}
    for one in problems:
        found.setdefault((one.file, one.line, one.column, one.message), one)
    return sorted(found.values(), key=lambda one: (one.file != str(file), one.file, one.line, one.column))
