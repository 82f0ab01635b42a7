"""The page of commands, from the typer applications themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from calumma.cli.main import VERBS, application

from .markdown import prose, table

HEAD = """# Commands

`python -m calumma` is the same command. With `--json` a verb prints one JSON value on stdout and everything else on stderr.
The exit code is 0 where the work is done, 1 where it failed or the answer is no, 2 for wrong input.
"""


def page(program: str = "calumma") -> str:
    """Every verb with its arguments, options, defaults and help."""
    lines = [*HEAD.splitlines(), ""]
    for verb in VERBS:
        root: Any = typer.main.get_command(application(verb))
        for path, command in _leaves(root.commands[verb], f"{program} {verb}"):
            lines += _command(path, command)
    return "\n".join(lines)


def _leaves(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    for name, one in getattr(command, "commands", {}).items():
        yield from _leaves(one, f"{path} {name}")
    if not hasattr(command, "commands"):
        yield path, command


def _command(path: str, command: Any) -> list[str]:
    context = command.make_context(path, [], resilient_parsing=True)
    usage = " ".join(word for word in [path, *command.collect_usage_pieces(context)] if word)
    records = [one.get_help_record(context) for one in command.params]
    rows = [[f"`{words}`", about] for words, about in filter(None, records) if not words.startswith("--help")]
    return [f"## {path}", "", f"`{usage}`", "", prose(command.help or ""), "", *table(("word", "what it means"), rows)]
