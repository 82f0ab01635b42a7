"""Shell completion: what could stand at the cursor. It imports no model, runs no local plugin, and never prints an error."""

from __future__ import annotations

import io
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout, suppress
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import typer

if TYPE_CHECKING:
    from calumma.extension import Catalog
    from calumma.registry.structure import Registry

ASKED = "_CALUMMA_COMPLETE"
SCRIPT_OPTIONS = ("--install-completion", "--show-completion")
DEVICES = ("auto", "cpu", "cuda", "mps")
Found = Iterator[tuple[str, str]]  # (what to insert, its help)


def asked() -> bool:
    """Whether a shell wants completions and not the command."""
    return ASKED in os.environ


def take_named_shell(words: Sequence[str]) -> None:
    """Has typer take the name in `--show-completion zsh`; where there is none, it guesses the shell that it runs in."""
    named = [word for word, after in pairwise([*words, "-"]) if word in SCRIPT_OPTIONS and not after.startswith("-")]
    if named or any(word.startswith(tuple(f"{option}=" for option in SCRIPT_OPTIONS)) for word in words):
        os.environ["_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION"] = "1"


def answer(application: Callable[[str | None], typer.Typer]) -> NoReturn:
    """Prints what could stand at the cursor, as the shell's script of `--show-completion` reads it, and exits.

    Nothing reaches the user's line but that: a registry or a plugin that is broken gives no values.
    """
    from calumma.cli.output import redirected

    os.environ["COLUMNS"] = "10000"  # else help is wrapped, and its second line read as a value
    bash = os.environ[ASKED] == "complete_bash"
    head = _joined_for_bash() if bash else ""
    line = os.environ.get("COMP_WORDS" if bash else "_TYPER_COMPLETE_ARGS", "")
    called = next((word for word in _split(line)[1:] if not word.startswith("-")), None)
    said, code = io.StringIO(), 0
    with open(os.devnull, "wb") as nowhere, redirected(2, nowhere.fileno()), redirected(1, nowhere.fileno()):
        try:
            with redirect_stdout(said):
                typer.main.get_command(application(called)).main(args=[], prog_name="calumma")
        except SystemExit as ended:
            code = int(ended.code or 0)  # fish asks by the exit code whether there is anything
        except Exception:
            said, code = io.StringIO(), 1
    found = "".join(one.removeprefix(head) for one in said.getvalue().splitlines(keepends=True))
    with suppress(OSError):
        sys.stdout.write(found)
        sys.stdout.flush()
    sys.exit(code)


def _joined_for_bash() -> str:
    """Joins the words that bash cuts at `=` and `:`, in the environment; what of the last one bash takes as given.

    Bash replaces only what follows the last cut, so that much is not to be repeated.
    """
    words, cursor = _split(os.environ.get("COMP_WORDS", "")), int(os.environ.get("COMP_CWORD", "0"))
    words += [""] * (cursor + 1 - len(words))
    joined: list[str] = []
    head = ""
    for index, word in enumerate(words[: cursor + 1]):
        cut = bool(word) and not word.strip("=:")
        after = index > 0 and bool(words[index - 1]) and not words[index - 1].strip("=:")
        if joined and (cut or (after and word)):
            head = joined[-1] + word if cut else joined[-1]
            joined[-1] += word
        else:
            head = ""
            joined.append(word)
    os.environ["COMP_WORDS"], os.environ["COMP_CWORD"] = shlex.join(joined), str(len(joined) - 1)
    return head.partition("=")[2] if head.startswith("--") else head


def _split(line: str) -> list[str]:
    """The words of a line whose last one may have an open quote."""
    lexer = shlex.shlex(line, posix=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    words: list[str] = []
    try:
        words.extend(lexer)
    except ValueError:
        words.append(lexer.token)
    return words


# --- values of options and arguments ---


def pipelines(ctx: typer.Context) -> Found:
    """Pipelines of the registry in use."""
    for name in _registry(ctx).pipelines:
        yield name, ""


def banks(ctx: typer.Context) -> Found:
    """Banks of the registry in use."""
    for name, block in _registry(ctx).banks.items():
        yield name, str(block.value["path"].value)


def devices() -> Found:
    """Names of devices that torch knows."""
    for name in DEVICES:
        yield name, ""


def plugins() -> Found:
    """Every plugin that is installed."""
    for info in _catalog().plugins():
        yield info.name, info.distribution


def plugins_and_components() -> Found:
    """Every plugin, and every component id."""
    yield from plugins()
    for row in _catalog().rows():
        if row.id is not None:
            yield row.id, row.kind or ""


def kinds() -> Found:
    """Every kind of component."""
    for name, kind in _catalog().kinds().items():
        yield name, kind.summary


def swaps(ctx: typer.Context, incomplete: str) -> Found:
    """`SLOT=NAME` for the components of the registry in use; behind `SLOT=` also component ids."""
    from calumma.registry.components import Components
    from calumma.registry.pipelines import REQUIRED, Pipelines

    registry = _registry(ctx)
    catalog = _catalog(registry)
    resolver = Pipelines(Components(registry, catalog))
    named = resolver.slots(ctx.params.get("pipeline") or "default") or {}
    for slot in dict.fromkeys([*REQUIRED, *named]):
        kind = resolver.kind_of(slot, named[slot]) if slot in named else slot
        if kind is None or not incomplete.startswith(f"{slot}="[: len(incomplete)]):
            continue
        for name, block in registry.components.get(kind, {}).items():
            use = block.get("use") or block.get("extends")
            yield f"{slot}={name}", "" if use is None else str(use.value)
        if "=" in incomplete:
            for spec in catalog.components(kind):
                yield f"{slot}={spec.name}", spec.summary


def sets(ctx: typer.Context, incomplete: str) -> Found:
    """`SLOT.OPTION=` of the pipeline in use, its swaps done; where one option is left, also values."""
    from calumma.cli.options import pairs
    from calumma.registry import default_registry, resolve

    given = ctx.params
    swap = pairs(given.get("swap"), "--swap")
    resolved = resolve(given.get("registry") or default_registry(), given.get("pipeline") or "default", swap)
    found: dict[str, tuple[str, list[str]]] = {}
    for slot, component in resolved.slots.items():
        cls = resolved.catalog.options_class(component.spec)
        schemas = cls.model_json_schema().get("properties", {})
        for name, field in cls.model_fields.items():
            setting = component.settings.get(name)
            values = _choices(schemas.get(name, {}), None if setting is None else setting.value)
            found[f"{slot}.{name}="] = (field.description or "", values)
    left = {key: facts for key, facts in found.items() if key.startswith(incomplete) or incomplete.startswith(key)}
    for key, (description, values) in left.items():
        yield key, description
        for value in values if len(left) == 1 else ():
            yield key + value, ""


def _choices(schema: dict[str, Any], current: object) -> list[str]:
    """What an option could be set to: all of its values if they can be told, else the one that it has."""
    words = {"boolean": ["true", "false"], "null": ["null"]}.get(str(schema.get("type")), [])
    words += [str(one) for one in schema.get("enum", [])]
    words += [word for one in schema.get("anyOf", []) for word in _choices(one, None)]
    if isinstance(current, (str, int, float)) and not isinstance(current, bool):
        words.append(str(current))
    return list(dict.fromkeys(word for word in words if word and not set(word) & set(" \t\n'\"\\`$")))


def _registry(ctx: typer.Context) -> Registry:
    from calumma.registry import default_registry, read

    given = ctx.params.get("registry")
    return read(Path(given) if given else default_registry())


def _catalog(registry: Registry | None = None) -> Catalog:
    """Of what is installed; files that a registry names as plugins are not run to complete a word."""
    from calumma.extension import Catalog

    return Catalog(block=[] if registry is None else [str(node.value) for node in registry.block])
