"""Nodes to a registry: what its sections are, with includes read and laid under the file that includes them."""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from calumma.errors import Problem, RegistryError
from calumma.extension.nearest import suggestion
from calumma.registry.nodes import Mark, Node
from calumma.registry.parse import parse_file, registry_error

VERSION = 1
SECTIONS = ("calumma", "include", "plugins", "banks", "components", "pipelines")
PLUGIN_LISTS = ("use", "local", "block")
_NAME = re.compile(r"[A-Za-z0-9_][\w.+-]*")
_MAX_FILES = 64


class Enough(Exception):  # noqa: N818  (no error: the end of looking for errors)
    """There are more problems than anybody reads."""


class Problems(list[Problem]):
    """Problems found so far. Appending raises Enough at `most`, so that no file keeps us busy with its mistakes."""

    most = 200

    def append(self, problem: Problem) -> None:
        super().append(problem)
        if len(self) >= self.most:
            raise Enough


@dataclass
class Registry:
    """What a registry and its includes define, merged; a name that both define is the including file's.

    Attributes:
        file: the outermost file.
        use, local, block: of `plugins:`; a local file's node knows which folder it is relative to.
        banks, pipelines: name -> block. components: kind -> name -> block.
        problems: mistakes of structure.
    """

    file: Path
    use: list[Node] = field(default_factory=list)
    local: list[Node] = field(default_factory=list)
    block: list[Node] = field(default_factory=list)
    banks: dict[str, Node] = field(default_factory=dict)
    components: dict[str, dict[str, Node]] = field(default_factory=dict)
    pipelines: dict[str, Node] = field(default_factory=dict)
    kinds: dict[str, Mark] = field(default_factory=dict)
    problems: Problems = field(default_factory=Problems)


def shipped() -> Path:
    """The registry that comes with Calumma; `include: [calumma:registry.yaml]` names it."""
    return Path(__file__).parent.parent / "registry.yaml"


def default_registry() -> Path:
    """`registry.yaml` in the working directory if there is one, else the shipped registry."""
    here = Path("registry.yaml")
    return here if here.is_file() else shipped()


def read(file: Path | str) -> Registry:
    """Parses a registry and its includes; mistakes of structure are in `.problems`.

    Raises RegistryError where the outermost file cannot be read or is not YAML.
    """
    registry = Registry(Path(file))
    root, problems = parse_file(registry.file)
    with contextlib.suppress(Enough):
        _Reader(registry).take(root, problems, ())
    return registry


class _Reader:
    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.read: set[str] = set()

    def take(self, root: Node, problems: list[Problem], within: tuple[str, ...]) -> None:
        """Takes one file: first what it includes, then its own."""
        file = root.mark.file or self.registry.file
        identity = os.path.realpath(file)
        self.read.add(identity)
        self.registry.problems.extend(problems)
        if not root.is_mapping:
            self._problem(root.mark, "", "a registry is a mapping that begins with `calumma: 1`.")
            return
        for key, _ in root.items():
            if key not in SECTIONS:
                self._problem(root.key_mark(key), key, f"unknown section {key!r}. {suggestion(key, SECTIONS, 'sections')}")
        version = root.get("calumma")
        if version is None:
            self._problem(root.mark, "calumma", f"the version is missing. Write `calumma: {VERSION}`.")
        elif version.value != VERSION or isinstance(version.value, bool):
            message = f"version {version.value!r:.40} is unknown. This calumma reads `calumma: {VERSION}`."
            self._problem(version.mark, "calumma", message)
        for i, node in enumerate(self._list(root.get("include"), "include")):
            self._include(node, f"include[{i}]", file, (*within, identity))
        self._plugins(root.get("plugins"))
        self._banks(root.get("banks"))
        self._components(root.get("components"))
        for name, block in self._named(root.get("pipelines"), "pipelines"):
            self.registry.pipelines[name] = block

    def _include(self, node: Node, path: str, file: Path, within: tuple[str, ...]) -> None:
        target = shipped() if node.value == "calumma:registry.yaml" else file.parent / str(node.value)
        if "\0" in str(target):
            self._problem(node.mark, path, f"{node.value!r} is no name of a file.")
            return
        identity = os.path.realpath(target)
        if identity in within:
            self._problem(node.mark, path, f"{node.value!r} includes this file in turn. Take one of the two includes out.")
            return
        if len(self.read) >= _MAX_FILES:
            self._problem(node.mark, path, f"more than {_MAX_FILES} files are included.")
            return
        if identity in self.read:
            return
        try:
            root, problems = parse_file(target)
        except RegistryError as error:
            if error.problems[0].line:
                self.registry.problems.extend(error.problems)
            else:
                self._problem(node.mark, path, f"the included file {node.value!r} {error.problems[0].message}")
            return
        self.take(root, problems, within)

    def _plugins(self, section: Node | None) -> None:
        if section is None or section.value is None:
            return
        if not section.is_mapping:
            self._problem(section.mark, "plugins", "should be a mapping of use, local and block.")
        for key, node in section.items():
            if key not in PLUGIN_LISTS:
                message = f"unknown key {key!r}. {suggestion(key, PLUGIN_LISTS, 'keys')}"
                self._problem(section.key_mark(key), f"plugins.{key}", message)
                continue
            getattr(self.registry, key).extend(self._list(node, f"plugins.{key}"))

    def _banks(self, section: Node | None) -> None:
        for name, block in self._named(section, "banks"):
            if check_bank(block, f"banks.{name}", self.registry.problems):
                self.registry.banks[name] = block

    def _components(self, section: Node | None) -> None:
        if section is None or section.value is None:
            return
        if not section.is_mapping:
            self._problem(section.mark, "components", "should be a mapping of kinds.")
        for kind, names in section.items():
            self.registry.kinds.setdefault(kind, section.key_mark(kind))
            for name, block in self._named(names, f"components.{kind}"):
                self.registry.components.setdefault(kind, {})[name] = block

    def _named(self, section: Node | None, path: str) -> list[tuple[str, Node]]:
        """(name, block) of a section whose every value is a mapping."""
        if section is None or section.value is None:
            return []
        if not section.is_mapping:
            self._problem(section.mark, path, "should be a mapping of names.")
            return []
        blocks = []
        for name, block in section.items():
            if not _NAME.fullmatch(name):
                message = f"{name!r:.80} is no name: letters, digits, `_`, `-`, `.` and `+`."
                self._problem(section.key_mark(name), f"{path}.{name:.80}", message)
            elif not block.is_mapping:
                message = f"should be a mapping, not {block.value!r:.80}."
                self._problem(block.mark, f"{path}.{name}", message)
            else:
                blocks.append((name, block))
        return blocks

    def _list(self, node: Node | None, path: str) -> list[Node]:
        if node is None or node.value is None:
            return []
        if not isinstance(node.value, list):
            self._problem(node.mark, path, f"should be a list, not {node.plain()!r:.80}.")
            return []
        words = []
        for one in node.value:
            if isinstance(one.value, str) and one.value.strip():
                words.append(one)
            else:
                self._problem(one.mark, path, f"should be a list of words, not of {one.plain()!r:.80}.")
        return words

    def _problem(self, mark: Mark, path: str, message: str) -> None:
        self.registry.problems.append(mark.problem(path, message))


def check_bank(block: Node, path: str, problems: list[Problem]) -> bool:
    """Whether a bank's block has a path; appends what is wrong with it."""
    for key, _ in block.items():
        if key != "path":
            problems.append(block.key_mark(key).problem(f"{path}.{key}", f"unknown key {key!r}. Did you mean 'path'?"))
    where = block.get("path")
    if where is None and block.value:
        return False
    if where is None or not isinstance(where.value, str) or not where.value.strip():
        mark = block.mark if where is None else where.mark
        problems.append(mark.problem(f"{path}.path", "the path of the bank is missing, or is no text."))
        return False
    return True


def fail_on(problems: list[Problem], fix: str = "") -> None:
    """Raises RegistryError where there are problems."""
    if problems:
        raise registry_error(problems, fix or _remedy(problems[0]))


def _remedy(problem: Problem) -> str:
    if not problem.line:
        return ""
    return f"Correct it; `calumma registry validate {problem.file}` checks it again."
