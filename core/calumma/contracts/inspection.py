"""Looking into a component from outside: its options, the tensors that it holds, what it and the listing of it import."""

from __future__ import annotations

import ast
import functools
import importlib.metadata
import importlib.util
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel

from calumma.extension import Catalog, ComponentSpec

if TYPE_CHECKING:
    import torch

_LIGHT = {"calumma", "pydantic", "pluggy", "numpy", "typing_extensions", "annotated_types", "pydantic_core"}
_DISTRIBUTIONS = {"PIL": "pillow", "yaml": "pyyaml"}  # of calumma's own dependencies, those whose modules are called otherwise
_HEAVY = ("torch", "torchvision", "transformers", "faiss", "lance", "pyarrow", "scipy", "pandas", "tensorflow", "jax")


def unbounded_options(cls: type[BaseModel]) -> list[str]:
    """What is wrong with an Options class: fields without a description, numbers without both bounds, lists of any length."""
    schema = cls.model_json_schema()
    wrong = []
    for name, field in schema.get("properties", {}).items():
        if not field.get("description"):
            wrong.append(f"{name} has no description")
        for one in (field, *field.get("anyOf", ())):
            if one.get("type") in ("integer", "number") and not _bounded(one):
                wrong.append(f"{name} has no bounds")
            if one.get("type") == "array" and "maxItems" not in one:
                wrong.append(f"{name} has no largest length")
    return wrong


def options_that_hold(cls: type[BaseModel], what: type) -> list[str]:
    """The options that are an Asset or a Part, or may be, or are lists of them; in the order of their names."""
    return sorted(name for name, field in cls.model_fields.items() if _holds(field.annotation, what))


def _holds(annotation: object, what: type) -> bool:
    return annotation is what or any(_holds(one, what) for one in get_args(annotation))


def out_of_bounds(cls: type[BaseModel]) -> Iterator[tuple[str, float]]:
    """(option, a number just outside its bounds), twice for each option that is a number."""
    for name, field in cls.model_json_schema().get("properties", {}).items():
        for one in (field, *field.get("anyOf", ())):
            for bound, step in (("minimum", -1), ("exclusiveMinimum", 0), ("maximum", 1), ("exclusiveMaximum", 0)):
                if bound in one:
                    yield name, one[bound] + step


def _bounded(schema: dict[str, Any]) -> bool:
    low = "minimum" in schema or "exclusiveMinimum" in schema
    high = "maximum" in schema or "exclusiveMaximum" in schema
    return (low and high) or "const" in schema or "enum" in schema


def tensors_of(value: object) -> Iterator[tuple[str, torch.Tensor]]:
    """(path, tensor) of every torch tensor in an object's attributes, modules included; nothing where torch is not loaded."""
    torch = sys.modules.get("torch")
    if torch is not None:
        yield from _tensors(torch, type(value).__name__, value, set(), 0)


def _tensors(torch: Any, path: str, value: object, seen: set[int], depth: int) -> Iterator[tuple[str, torch.Tensor]]:
    if id(value) in seen or depth > 6:
        return
    seen.add(id(value))
    if isinstance(value, torch.Tensor):
        yield path, value
    elif isinstance(value, torch.nn.Module):
        for name, tensor in [*value.named_parameters(), *value.named_buffers()]:
            yield f"{path}.{name}", tensor
    elif isinstance(value, (list, tuple)):
        for place, one in enumerate(value):
            yield from _tensors(torch, f"{path}[{place}]", one, seen, depth + 1)
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from _tensors(torch, f"{path}[{key!r}]", one, seen, depth + 1)
    elif hasattr(value, "__dict__") and not isinstance(value, type) and not callable(value):
        for name, one in vars(value).items():
            yield from _tensors(torch, f"{path}.{name}", one, seen, depth + 1)


def imported_by_listing(catalog: Catalog, spec: ComponentSpec) -> list[str]:
    """Libraries that a fresh interpreter imports with the plugin's registering and Options modules, and should not."""
    plugin = next(info for info in catalog.plugins() if info.name == spec.name.partition("/")[0])
    if plugin.file is not None or not plugin.target:
        return []
    modules = [plugin.target.partition(":")[0], spec.options.partition(":")[0]]
    code = (
        "import sys, json, importlib, calumma.extension, calumma.interfaces\n"
        f"sys.path[:0] = {[path for path in sys.path if path]!r}\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    needed = {module.partition(".")[0] for module in spec.requires}
    return sorted(loaded & ({*_HEAVY, *needed} - _LIGHT))


def unnamed_libraries(cls: type, requires: tuple[str, ...]) -> list[str]:
    """Libraries that a class's module, or one beside it that it imports, needs at its top, neither named nor calumma's own."""
    own = cls.__module__.partition(".")[0]
    known = {own, "calumma", *(one.partition(".")[0] for one in requires), *sys.stdlib_module_names}
    libraries: set[str] = set()
    waiting, seen = [sys.modules[cls.__module__]], set[str]()
    while waiting:
        module = waiting.pop()
        seen.add(module.__name__)
        for name in _imported_at_the_top(module):
            libraries.add(name.partition(".")[0])
            if name.partition(".")[0] == own and name in sys.modules and name not in seen:
                waiting.append(sys.modules[name])
    return sorted(one for one in libraries - known if _normal(_DISTRIBUTIONS.get(one, one)) not in _brought_along())


def _imported_at_the_top(module: ModuleType) -> Iterator[str]:
    """Dotted names in the import statements of a module, those inside functions, branches and classes left out."""
    try:
        tree = ast.parse(Path(inspect.getsourcefile(module) or "").read_text(encoding="utf-8"))
    except (OSError, TypeError):  # no Python source
        return
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = importlib.util.resolve_name("." * node.level + (node.module or ""), module.__package__)
            yield from (source, *(f"{source}.{one.name}" for one in node.names))


@functools.cache
def _brought_along() -> frozenset[str]:
    """The distributions that come with calumma without any extra, and with those."""
    found, waiting = set[str](), ["calumma"]
    while waiting:
        name = waiting.pop()
        found.add(name)
        try:
            needed = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        for one in needed:
            other = _normal(re.split(r"[^\w.-]", one, maxsplit=1)[0])
            if "extra ==" not in one and other not in found:
                waiting.append(other)
    return frozenset(found)


def _normal(name: str) -> str:
    """The name of a distribution as PEP 503 writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()
