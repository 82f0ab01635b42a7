"""YAML to nodes, from the parser's events: bounded in size, depth and expansion, so that no file hangs or crashes us."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from calumma.errors import Problem, RegistryError
from calumma.files import read_file
from calumma.registry.nodes import Mark, Node

MAX_BYTES = 1 << 20
MAX_NODES = 50_000
MAX_DEPTH = 48
_MOST_SHOWN = 50

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CORE = "tag:yaml.org,2002:"
_FLOAT = re.compile(r"[-+]?(\d[\d_]*\.?[\d_]*|\.\d[\d_]*)([eE][-+]?\d+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_INT = re.compile(r"[-+]?(0|[1-9][\d_]*|0[0-7_]+|0b[01][01_]*|0x[\da-fA-F][\da-fA-F_]*)")
_WORDS: dict[str, bool | None] = {
    spelling: value
    for value, words in [(True, ("yes", "true", "on")), (False, ("no", "false", "off")), (None, ("null",))]
    for word in words
    for spelling in (word, word.title(), word.upper())
} | {"~": None, "": None}


def parse_file(file: Path) -> tuple[Node, list[Problem]]:
    """The tree of one file, and its duplicate keys. Raises RegistryError where it cannot be read or is not bounded YAML."""
    whole = Mark(file)
    try:
        data = read_file(file, MAX_BYTES)
    except IsADirectoryError as error:
        raise registry_error([whole.problem("", "is a folder, not a file.")]) from error
    except OSError as error:
        if error.errno == errno.EFBIG:
            message = f"is larger than {MAX_BYTES // 1024} KiB, the most that is read."
            raise registry_error([Mark(file, 1, 1).problem("", message)]) from error
        raise registry_error([whole.problem("", f"cannot be read: {error.strerror}.")]) from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        mark = Mark(file, before.count(b"\n") + 1, error.start - before.rfind(b"\n"))
        raise registry_error([mark.problem("", f"is not UTF-8: byte 0x{data[error.start]:02x}.")]) from error
    return parse_text(text, whole)


def parse_value(text: str, flag: str) -> Node:
    """The value of `--set` as YAML. Raises RegistryError naming the flag."""
    mark = Mark(None, flag=flag)
    if len(text) > MAX_BYTES:
        raise registry_error([mark.problem("", "is too long.")])
    if not text.strip():
        return Node(None, mark)
    node, problems = parse_text(text, mark)
    if problems:
        raise registry_error(problems)
    return node


def parse_text(text: str, where: Mark) -> tuple[Node, list[Problem]]:
    """The tree of a text, and its duplicate keys. Raises RegistryError."""
    try:
        composer = _Composer(where)
        root = composer.compose(yaml.parse(text, Loader=_LOADER))
    except yaml.MarkedYAMLError as error:
        problem = " ".join(part for part in (error.problem, error.context) if part)
        mark = _place(where, error.problem_mark or error.context_mark)
        raise registry_error([mark.problem("", f"is not YAML: {problem}.")]) from error
    except yaml.YAMLError as error:
        position = getattr(error, "position", None)
        before = text[:position] if isinstance(position, int) else ""
        mark = where if where.file is None else Mark(where.file, before.count("\n") + 1, len(before) - before.rfind("\n"))
        reason = getattr(error, "reason", None) or str(error)
        raise registry_error([mark.problem("", f"is not YAML: {' '.join(str(reason).split())}.")]) from error
    if root is None:
        raise registry_error([_place(where, None).problem("", "is empty. A registry begins with `calumma: 1`.")])
    return root, composer.problems


def registry_error(problems: Iterable[Problem], fix: str = "") -> RegistryError:
    """One error of all problems: a sentence if there is one, a list if there are more."""
    found = list(dict.fromkeys(problems))
    if len(found) == 1:
        return RegistryError(str(found[0]), fix, found)
    lines = "".join(f"\n  {problem}" for problem in found[:_MOST_SHOWN])
    if len(found) > _MOST_SHOWN:
        lines += f"\n  ... and {len(found) - _MOST_SHOWN} more"
    return RegistryError(f"There are {len(found)} mistakes:{lines}", fix, found)


def _place(where: Mark, mark: Any) -> Mark:
    if where.file is None:
        return where
    return Mark(where.file, 1, 1) if mark is None else Mark(where.file, mark.line + 1, mark.column + 1)


class _Composer:
    """Builds nodes from events with a stack of its own, so that depth is bounded by us and not by the interpreter."""

    def __init__(self, where: Mark) -> None:
        self.where = where
        self.problems: list[Problem] = []
        self.anchors: dict[str | None, Node | None] = {}
        self.count = 0

    def compose(self, events: Iterator[Any]) -> Node | None:
        root: Node | None = None
        stack: list[_Open] = []
        documents = 0
        for event in events:
            mark = _place(self.where, event.start_mark)
            node: Node | None = None
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._refuse(mark, "holds a second YAML document; a registry is one.")
            elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
                if event.tag and event.tag not in (_CORE + "map", _CORE + "seq", "!"):
                    self._refuse(mark, f"the tag {event.tag!r} is not allowed in a registry.")
                if len(stack) >= MAX_DEPTH:
                    self._refuse(mark, f"is nested deeper than {MAX_DEPTH} levels.")
                if event.anchor:
                    self.anchors[event.anchor] = None
                stack.append(_Open(mark, isinstance(event, yaml.MappingStartEvent), event.anchor))
            elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
                opened = stack.pop()
                node = opened.node(self)
                if opened.anchor:
                    self.anchors[opened.anchor] = node
            elif isinstance(event, yaml.ScalarEvent):
                key = bool(stack) and stack[-1].wants_key
                node = Node(event.value if key else self._scalar(event, mark), mark)
                if event.anchor:
                    self.anchors[event.anchor] = node
            elif isinstance(event, yaml.AliasEvent):
                node = self.anchors.get(event.anchor)
                if node is None:
                    self._refuse(mark, f"the alias *{event.anchor} names nothing, or what it stands in.")
            if node is not None:
                self._count(node, mark)
                if stack:
                    stack[-1].take(node, mark, self)
                else:
                    root = node
        return root

    def _count(self, node: Node, mark: Mark) -> None:
        self.count += 1
        if max(self.count, node.weight) > MAX_NODES:
            self._refuse(mark, f"has more than {MAX_NODES} values, aliases written out.")

    def _refuse(self, mark: Mark, message: str) -> None:
        raise registry_error([*self.problems, mark.problem("", message)])

    def _scalar(self, event: Any, mark: Mark) -> Any:
        text: str = event.value
        tag = event.tag.removeprefix(_CORE) if event.tag else ("" if event.implicit[0] else "str")
        if tag in ("str", "!"):
            return text
        if tag not in ("", "int", "float", "bool", "null"):
            self._refuse(mark, f"the tag {event.tag!r} is not allowed in a registry.")
        try:
            value = scalar(text)
            if tag == "float" and isinstance(value, int):
                return float(value)
        except (ValueError, OverflowError):
            self._refuse(mark, f"{text[:40]!r} is a number too long to read.")
        if tag and type(value).__name__ != {"null": "NoneType"}.get(tag, tag):
            self._refuse(mark, f"{text[:40]!r} is no {tag}.")
        return value


class _Open:
    """A mapping or list whose end has not come yet."""

    def __init__(self, mark: Mark, mapping: bool, anchor: str | None) -> None:
        self.mark, self.mapping, self.anchor = mark, mapping, anchor
        self.entries: dict[str, Node] = {}
        self.keys: dict[str, Mark] = {}
        self.list: list[Node] = []
        self.merged: list[Node] = []
        self.key: str | None = None
        self.weight = 1

    @property
    def wants_key(self) -> bool:
        return self.mapping and self.key is None

    def take(self, node: Node, mark: Mark, composer: _Composer) -> None:
        self.weight += node.weight
        if not self.mapping:
            self.list.append(node)
        elif self.key is None:
            if not isinstance(node.value, (str, int, float, bool, type(None))):
                raise registry_error([*composer.problems, mark.problem("", "has a key that is no word.")])
            self.key = str(node.value)
            if self.key in self.keys:
                first = self.keys[self.key]
                composer.problems.append(mark.problem("", f"the key {self.key!r} was already given in line {first.line}."))
            self.keys.setdefault(self.key, mark)
        else:
            if self.key == "<<":
                self.merged.extend(node.value if isinstance(node.value, list) else [node])
                del self.keys["<<"]
            else:
                self.entries.setdefault(self.key, node)
            self.key = None

    def node(self, composer: _Composer) -> Node:
        if not self.mapping:
            return Node(self.list, self.mark, None, self.weight)
        for other in self.merged:
            if not other.is_mapping:
                raise registry_error([*composer.problems, other.mark.problem("", "`<<` merges mappings only.")])
            for key, node in other.items():
                if key not in self.entries:
                    self.entries[key], self.keys[key] = node, other.key_mark(key)
        return Node(self.entries, self.mark, self.keys, self.weight)


def scalar(text: str) -> str | int | float | bool | None:
    """What a plain scalar means: YAML 1.1 without dates and sexagesimals, and `1e-4` is a number. Raises ValueError."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        digits = text.replace("_", "").lower()
        octal = re.fullmatch(r"([-+]?)0([0-7]+)", digits)
        return int(octal[1] + octal[2], 8) if octal else int(digits, 0)
    if _FLOAT.fullmatch(text):
        return float(text.replace("_", "").lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text
