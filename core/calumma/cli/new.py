"""calumma plugins new: the folder of a new plugin that works as written."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from calumma.cli import completion
from calumma.cli.options import DebugOption, JsonOption, writable
from calumma.cli.output import print_json

NEXT = """\
{folder} holds the distribution {distribution} with the component {component}. Next:

  cd {folder}
  python -m pip install -e '.[test]'
  python -m pytest
  calumma plugins check {name}
"""


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The plugin's name, such as my-retriever.")],
    kind: Annotated[
        str,
        typer.Option("--kind", help="The kind of its component, such as retriever.", autocompletion=completion.kinds),
    ],
    out: Annotated[Path | None, typer.Option("--out", help="The folder to write; ./NAME by default.")] = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Write a plugin that works: its options, tests, README and CI."""
    from calumma.extension import Catalog
    from calumma.scaffold import distribution, write

    plugin = distribution(name, kind, Catalog())
    folder = out or Path(name)
    write(plugin, writable(folder))
    if as_json:
        files = sorted(plugin.files)
        print_json({"folder": str(folder), "files": files, "component": plugin.component, "distribution": plugin.distribution})
        return
    there = shlex.quote(str(folder))
    print(NEXT.format(folder=there, name=name, distribution=plugin.distribution, component=plugin.component), end="")
