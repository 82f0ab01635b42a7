"""A kind's template: one text that holds the files of a distribution, and a few facts about its component.

    component: flat
    summary: Exact maximum inner product over all vectors.
    === src/$package/options.py ===
    ...

The facts `component` (what follows the slash of its id) and `summary` must be there; `capabilities` is a Python literal.
Every `=== PATH ===` begins a file. Facts are plain; in paths and files the placeholders of `PLACEHOLDERS` are filled in, and
`$$` is a dollar. Files that all distributions have come from `templates/common.txt`, unless a kind's template brings its own.
"""

from __future__ import annotations

import importlib.resources
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from string import Template

from calumma.errors import ComponentError
from calumma.extension import KindSpec

COMMON = "calumma.scaffold:templates/common.txt"
PLACEHOLDERS = {
    "name": "the plugin's name, `my-retriever`",
    "distribution": "`calumma-my-retriever`",
    "package": "the import package, `calumma_my_retriever`",
    "kind": "the kind, `retriever`",
    "module": "the kind as the name of a module",
    "component": "the component's id, `my-retriever/flat`",
    "class_name": "its class, `MyRetriever`",
    "options_class": "the class of its options, `MyRetrieverOptions`",
    "summary": "the fact of that name",
    "capabilities": "the fact of that name, `{}` by default",
    "calumma": "the version of calumma that writes",
    "registry": "the file `registry.yaml` of the kind's template, for the README",
}
_FACTS = {"component": None, "summary": None, "capabilities": "{}"}
_FACT = re.compile(r"(\w+): (.+)")
_HEADER = re.compile(r"^=== (.+) ===\n", re.MULTILINE)


@dataclass(frozen=True)
class KindTemplate:
    """A template as it was read. Attributes: facts: by name. files: path with placeholders -> text with placeholders."""

    facts: Mapping[str, str]
    files: Mapping[str, str]


def read(kind: KindSpec) -> KindTemplate:
    """The template of a kind with the common files. Raises ComponentError where it has none, or a broken one."""
    if not kind.template:
        raise ComponentError(
            f"The kind {kind.name!r} has no template to begin a plugin from.", "Ask the plugin that brings the kind for one."
        )
    head, files = _sections(_text(kind.template, kind.name))
    facts = {found[1]: found[2] for line in head.splitlines() if (found := _FACT.fullmatch(line))}
    if len(facts) != len(head.splitlines()) or not facts.keys() <= _FACTS.keys():
        raise _broken(kind.name, f"it begins with something else than lines of {', '.join(_FACTS)}")
    for name, default in _FACTS.items():
        if default is None and name not in facts:
            raise _broken(kind.name, f"it does not say its {name}")
        facts.setdefault(name, default or "")
    return KindTemplate(facts, {**_sections(_text(COMMON, kind.name))[1], **files})


def fill(template: KindTemplate, values: Mapping[str, str], kind: str) -> dict[str, str]:
    """path -> text of every file, with the placeholders filled in. Raises ComponentError for one that does not exist."""
    try:
        registry = Template(template.files.get("registry.yaml", "")).substitute(values)
        values = {**values, "registry": registry}
        filled = {Template(path).substitute(values): Template(text).substitute(values) for path, text in template.files.items()}
    except KeyError as error:
        raise _broken(kind, f"there is no placeholder ${error.args[0]}") from error
    except ValueError as error:
        raise _broken(kind, f"{error}; a dollar is written $$") from error
    for path in filled:
        if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
            raise _broken(kind, f"its file {path!r} leaves the folder")
    return filled


def _text(source: str, kind: str) -> str:
    package, _, file = source.partition(":")
    try:
        return importlib.resources.files(package).joinpath(file).read_text(encoding="utf-8")
    except (ImportError, OSError, TypeError, UnicodeDecodeError) as error:  # TypeError: a module that is no package
        raise _broken(kind, f"{source} cannot be read: {error}") from error


def _sections(text: str) -> tuple[str, dict[str, str]]:
    head, *rest = _HEADER.split(text)
    return head, dict(zip(rest[::2], rest[1::2], strict=True))


def _broken(kind: str, reason: str) -> ComponentError:
    return ComponentError(
        f"The template of the kind {kind!r} is broken: {reason}.", "Mend or upgrade the plugin that brings it."
    )
