"""A parsed registry as a tree in which every value knows where it was written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from calumma.errors import Problem


@dataclass(frozen=True)
class Mark:
    """Where a value was written: a place in a file (line and column from 1), or a flag.

    Attributes:
        file: as it was named; None for a flag.
        flag: such as "--set sampler.top_p".
    """

    file: Path | None
    line: int = 0
    column: int = 0
    flag: str = ""

    def __str__(self) -> str:
        if self.file is None:
            return self.flag
        return f"{self.file}:{self.line}"

    @property
    def base(self) -> Path | None:
        """The folder that relative assets are beside; None for the working directory."""
        return None if self.file is None else self.file.parent

    def problem(self, path: str, message: str) -> Problem:
        """A problem at this place."""
        return Problem(str(self.file) if self.file else self.flag, self.line, self.column, path, message)


@dataclass(frozen=True)
class Node:
    """A scalar, a list of nodes, or a mapping of nodes. Aliases share nodes; there are no cycles.

    Attributes:
        keys: of a mapping: where each key was written.
        weight: number of nodes in it, aliases written out.
    """

    value: Any
    mark: Mark
    keys: Mapping[str, Mark] | None = None
    weight: int = 1

    @property
    def is_mapping(self) -> bool:
        return isinstance(self.value, dict)

    def items(self) -> list[tuple[str, Node]]:
        """Keys and nodes of a mapping; of anything else, none."""
        return list(self.value.items()) if isinstance(self.value, dict) else []

    def get(self, key: str) -> Node | None:
        """The node under a key; None where this is no mapping or has no such key."""
        found = self.value.get(key) if isinstance(self.value, dict) else None
        return found if isinstance(found, Node) else None

    def key_mark(self, key: str) -> Mark:
        """Where the key was written."""
        return (self.keys or {}).get(key, self.mark)

    def plain(self) -> Any:
        """Ordinary Python values, without marks."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value

    def at(self, path: tuple[str | int, ...]) -> Mark:
        """The mark of the deepest node along a path; of the key, where the path ends at a key."""
        node, mark = self, self.mark
        for step in path:
            child: Any = None
            if isinstance(node.value, dict) and isinstance(step, str):
                child, mark = node.get(step), node.key_mark(step)
            elif isinstance(node.value, list) and isinstance(step, int) and step < len(node.value):
                child = node.value[step]
                mark = child.mark
            if child is None:
                break
            node = child
        return mark


def node_of(value: Any, mark: Mark) -> Node:
    """Python values (of a flag or a call) as nodes that all stand at one mark."""
    if isinstance(value, Mapping):
        return Node({str(key): node_of(one, mark) for key, one in value.items()}, mark)
    if isinstance(value, (list, tuple)):
        return Node([node_of(one, mark) for one in value], mark)
    return Node(value, mark)
