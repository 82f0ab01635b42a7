"""The entry point: only the verb that is called is imported, so that `--help` costs nothing."""

from __future__ import annotations

import importlib
import sys
from contextlib import nullcontext
from typing import Annotated, NoReturn

import typer

from calumma import __version__
from calumma.cli import completion
from calumma.cli.output import fail, stdout_for_json
from calumma.errors import InputError

VERBS = {
    "generate": "Draw pictures of a prompt.",
    "caption": "Describe a picture.",
    "infill": "Draw the inside of a box of a picture anew.",
    "estimate": "Say what drawing takes in memory and time, before it does.",
    "bank": "Build, change, search, check and tune memory banks.",
    "plugins": "List, explain, check and write plugins.",
    "registry": "Validate and explain registry.yaml.",
}


def _version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Retrieval-augmented, token-based text-and-image models, every part swappable."""


def application(called: str | None) -> typer.Typer:
    """The command with the verb `called` imported and the others as names with their one-line help."""
    app = typer.Typer(name="calumma", no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.callback()(root)
    for verb, summary in VERBS.items():
        if verb == called:
            part = importlib.import_module(f"calumma.cli.{verb}")
            if hasattr(part, "app"):
                app.add_typer(part.app, name=verb, help=summary)
            else:
                app.command(verb, help=getattr(part, verb).__doc__)(getattr(part, verb))
        else:
            app.command(verb, help=summary)(lambda: None)
    return app


def run() -> None:
    """Runs the command line and exits: 0 done, 1 failed or the answer is no, 2 wrong input."""
    if completion.asked():
        completion.answer(application)
    words = sys.argv[1:]
    completion.take_named_shell(words)
    as_json, debug = "--json" in words, "--debug" in words
    words = [word for word in words if word != "--debug"]  # every verb takes it, and it means nothing to any of them
    called = next((word for word in words if not word.startswith("-")), None)
    with stdout_for_json() if as_json and called and "--help" not in words else nullcontext():
        _run(words, called, as_json, debug)


def _interrupted() -> NoReturn:
    print("calumma: Interrupted.", file=sys.stderr)
    sys.exit(130)  # as shells number what SIGINT ended


def _run(words: list[str], called: str | None, as_json: bool, debug: bool) -> NoReturn:
    try:
        command = typer.main.get_command(application(called))
        code = command.main(args=words, prog_name="calumma", standalone_mode=False)
    except KeyboardInterrupt:
        _interrupted()
    except Exception as error:
        if type(error).__name__ == "Abort":
            _interrupted()
        if type(error).__name__ == "NoArgsIsHelpError" and not as_json:
            print(str(error), file=sys.stderr)
            sys.exit(2)
        if hasattr(error, "format_message"):  # click's own, which typer may bring under another name
            context = getattr(error, "ctx", None)
            path = context.command_path if context is not None else "calumma"
            said = "No verb is given" if type(error).__name__ == "NoArgsIsHelpError" else str(error.format_message())
            said += "" if said.endswith((".", "?")) else "."
            error = InputError(said, f"`{path} --help` says how it is called.")
        fail(error, as_json, debug)
    if code == 130:  # what typer makes of KeyboardInterrupt
        _interrupted()
    sys.exit(code if isinstance(code, int) else 0)
