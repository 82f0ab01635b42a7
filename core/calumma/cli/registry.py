"""calumma registry: is a registry right, what does it come to, and what may be written into one."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from calumma.cli.options import (
    BankOption,
    DebugOption,
    JsonOption,
    LocalOption,
    PipelineOption,
    PluginOption,
    RegistryOption,
    SetOption,
    SwapOption,
    pairs,
    sets,
)
from calumma.cli.output import note, print_json

app = typer.Typer(no_args_is_help=True)


@app.command("validate")
def validate_file(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The registry to check, with all that it includes.")],
    allow_local: LocalOption = False,
    plugin: PluginOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """List the mistakes of a registry, each with its line.

    Exit 2 where there is one.
    """
    from calumma.registry import validate

    problems = validate(file, allow_local=allow_local, use=plugin or [])
    if as_json:
        print_json({"ok": not problems, "errors": [asdict(problem) for problem in problems]})
    else:
        for problem in problems:
            note(str(problem))
        print(f"{file}: {len(problems)} mistake{'s' * (len(problems) > 1)}" if problems else f"{file}: ok")
    if problems:
        raise typer.Exit(2)


@app.command("show")
def show(
    registry: RegistryOption = None,
    pipeline: PipelineOption = "default",
    bank: BankOption = None,
    swap: SwapOption = None,
    set: SetOption = None,
    allow_local: LocalOption = False,
    plugin: PluginOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Show a pipeline with everything resolved.

    Each value comes with the line, flag or default that it is from.
    """
    from calumma.registry import default_registry, dump, resolve

    resolved = resolve(
        registry or default_registry(),
        pipeline,
        swap=pairs(swap, "--swap"),
        set=sets(set),
        bank=bank,
        allow_local=allow_local,
        use=plugin or [],
    )
    facts = dump(resolved)
    if as_json:
        print_json(facts)
    else:
        from calumma.documents.printing import printable

        print("\n".join(map(printable, as_yaml(facts))))


@app.command("schema")
def show_schema(as_json: JsonOption = False, debug: DebugOption = False) -> None:
    """Print the JSON Schema of registry.yaml, for editors.

    It knows the options of the plugins that are installed.
    """
    from calumma.extension import Catalog
    from calumma.registry import schema

    print_json(schema(Catalog()))


def as_yaml(facts: dict[str, Any]) -> list[str]:
    """Lines of YAML for what `dump` says, each value with its origin in a comment."""
    lines = [f"# {facts['registry']}, pipeline {facts['pipeline']}"]
    if facts["bank"]:
        lines.append(_line(f"bank: {_text(facts['bank']['path'])}", facts["bank"]["origin"]))
    for slot, one in facts["slots"].items():
        lines.append(_line(f"{slot}:", f"{one['name']}, {one['origin']}"))
        lines.append(f"  use: {one['use']}")
        for name, option in one["options"].items():
            lines.append(_line(f"  {name}: {_text(option['value'])}", option["origin"]))
    return lines


def _line(text: str, origin: str) -> str:
    return f"{text:<48}  # {origin}"


def _text(value: Any) -> str:
    import json

    return json.dumps(value, ensure_ascii=False, default=str)
