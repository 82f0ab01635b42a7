"""Pipelines of a registry: which component each slot takes, and which bank."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from calumma.errors import ComponentError
from calumma.extension.nearest import suggestion
from calumma.registry.components import MAX_DEPTH, Components, ResolvedComponent
from calumma.registry.nodes import Mark, Node, node_of
from calumma.registry.structure import Problems, check_bank

REQUIRED = ("image_tokenizer", "text_tokenizer", "embedder", "retriever", "selection", "decoder", "sampler")


class Pipelines:
    """Resolves pipelines over `components`; problems go where those of components go."""

    def __init__(self, components: Components) -> None:
        self.components = components
        self.registry = components.registry
        self.problems: Problems = components.problems

    def slots(self, name: str, seen: tuple[str, ...] = ()) -> dict[str, Node] | None:
        """Slot -> what the pipeline says of it, `extends` followed; None where there is a problem."""
        block = self.registry.pipelines[name]
        path = f"pipelines.{name}"
        own = {slot: node for slot, node in block.items() if slot != "extends"}
        parent = block.get("extends")
        if parent is None:
            return own
        if not isinstance(parent.value, str) or parent.value not in self.registry.pipelines:
            hint = suggestion(str(parent.value), self.registry.pipelines, "pipelines")
            self._wrong(parent.mark, f"{path}.extends", f"there is no pipeline {parent.plain()!r:.80}. {hint}")
            return None
        if len(seen) >= MAX_DEPTH:
            self._wrong(parent.mark, f"{path}.extends", f"it extends more than {MAX_DEPTH} others in a row.")
            return None
        if parent.value in (*seen, name):
            self._wrong(parent.mark, f"{path}.extends", f"it extends itself: {' -> '.join([*seen, name, parent.value])}.")
            return None
        above = self.slots(parent.value, (*seen, name))
        return None if above is None else above | own

    def check_own(self, name: str) -> None:
        """What is wrong with a pipeline's own lines and with what it lacks."""
        block, path = self.registry.pipelines[name], f"pipelines.{name}"
        for slot, node in block.items():
            if slot != "extends":
                self.choice(slot, node, f"{path}.{slot}", block.key_mark(slot))
        slots = self.slots(name)
        if slots is not None:
            self.check_required(slots, block.mark, path)

    def check_required(self, slots: Mapping[str, Node], mark: Mark, path: str) -> None:
        """Appends a problem for each slot that a pipeline must have and has not."""
        misspelt = {slot for slot in slots if slot not in (*REQUIRED, "bank")}
        for slot in REQUIRED:
            if slot not in slots and not any(suggestion(wrong, [slot], "").startswith("Did") for wrong in misspelt):
                self._wrong(mark, f"{path}.{slot}", f"the pipeline has no {slot}. Name one: `{slot}: NAME`.")

    def choice(self, slot: str, node: Node, path: str, key: Mark) -> ResolvedComponent | None:
        """The component of one slot; None for the bank, and where there is a problem."""
        if slot == "bank":
            self.bank(node, path)
            return None
        kind = self.kind_of(slot, node)
        if kind is None:
            self._wrong(key, path, f"unknown slot {slot!r}. {suggestion(slot, [*REQUIRED, 'bank'], 'slots')}")
            return None
        return self.components.choice(kind, node, path)

    def key(self, name: str, slot: str, otherwise: Mark) -> Mark:
        """Where the pipeline itself names a slot; `otherwise` where what it extends does."""
        return (self.registry.pipelines[name].keys or {}).get(slot, otherwise)

    def kind_of(self, slot: str, node: Node) -> str | None:
        """The kind of a slot: what its block says, or its own name; None where that is no kind."""
        said = node.get("kind")
        kind = said.value if said is not None else slot
        try:
            return self.components.catalog.kind(str(kind)).name
        except ComponentError:
            return None

    def bank(self, node: Node, path: str) -> tuple[str, Node] | None:
        """(name, node of its path) of a bank by name or as {path: ...}; None where there is none, or a problem."""
        if node.value is None:
            return None
        if node.is_mapping:
            return ("", node.value["path"]) if check_bank(node, path, self.problems) else None
        found = self.registry.banks.get(node.value) if isinstance(node.value, str) else None
        if found is None:
            hint = suggestion(str(node.value), self.registry.banks, "banks")
            self._wrong(node.mark, path, f"there is no bank {node.plain()!r:.80}. {hint}")
            return None
        return node.value, found.value["path"]

    def bank_from_flag(self, value: Any, flag: str) -> Node:
        """What `--bank` says, as a pipeline would: a name of the registry, or else a path."""
        mark = Mark(None, flag=flag)
        text = str(value)
        if value is None or text in self.registry.banks:
            return node_of(value, mark)
        looks = isinstance(value, Path) or any(sign in text for sign in "/\\:") or os.path.exists(text)
        return node_of({"path": text}, mark) if looks else node_of(text, mark)

    def _wrong(self, mark: Mark, path: str, message: str) -> None:
        self.problems.append(mark.problem(path, message))
