"""A reader who does what a page says, from top to bottom, in an empty folder."""

from __future__ import annotations

import contextlib
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import yaml
from blocks import Block, blocks
from environments import layered
from expected import holds, matches, subset
from terminal import Terminal

from calumma.bank.trust import cache_folder
from calumma.registry import validate

APART = re.compile(r"^(?:python|pip) ", re.MULTILINE)  # what these do is kept out of the environment of the tests
PARSERS = {"toml": tomllib.loads, "yaml": yaml.safe_load, "json": json.loads}


class Reader:
    """Runs the blocks of one page.

    A page that calls python or pip is read in a virtual environment of its own, each command in a process; any other in
    this process, where libraries and weights are loaded already.

    Args:
        page: its Markdown.
        folder: an existing folder to work in; what the reader has already lies there.
        aside: an existing folder for what the reader does not look at: a home, a virtual environment.
        project: the project of a distribution that the page installs by its name, as if it were published; None for none.
    """

    def __init__(self, page: str, folder: Path, aside: Path, project: Path | None = None) -> None:
        self.blocks = blocks(page)
        variables = {"HOME": str(aside), "CALUMMA_CACHE": str(cache_folder())}  # no command may touch the real home
        apart = any(block.language == "sh" and APART.search(block.content) for block in self.blocks)
        self.environment = layered(aside / "environment") if apart else None
        wheels = None
        if project is not None and self.environment is not None:
            wheels = self.environment.wheel(project, aside / "wheels").parent
        self.terminal = Terminal(folder, variables, self.environment, wheels)
        self.names: dict[str, Any] = {"__name__": "__main__"}

    def read(self) -> None:
        """Runs every block. Raises AssertionError with the line of the block that does not do what the page says."""
        for block in self.blocks:
            try:
                getattr(self, f"_{block.language}")(block)
            except Exception as error:
                raise AssertionError(f"line {block.line}: {error}\n{block.content}") from error

    def _sh(self, block: Block) -> None:
        self.terminal.type(block.content)

    def _python(self, block: Block) -> None:
        if block.file is not None:
            self._write(block)
        elif self.environment is not None:
            self.terminal.python(block.content)
        else:
            with self.terminal.listening():
                exec(compile(block.content, f"<line {block.line}>", "exec"), self.names)

    def _text(self, block: Block) -> None:
        printed = self.terminal.printed
        assert matches(block.content, printed), f"this was printed:\n{printed}"

    def _yaml(self, block: Block) -> None:
        value = self._data(block)
        if isinstance(value, dict) and "calumma" in value and block.file is not None:
            self._validate(block.file)

    def _validate(self, file: str) -> None:
        """Every registry of a page is right, unless its name says that it is wrong; plugins of the environment are there."""
        if self.environment is not None:
            words = ["calumma", "registry", "validate", file, "--allow-local"]
            done = self.environment.run(words, cwd=self.terminal.here, check=False)
            problems = done.stderr if done.returncode else ""
        else:
            with contextlib.chdir(self.terminal.here):
                problems = "\n".join(map(str, validate(Path(file), allow_local=True)))
        assert bool(problems) == Path(file).name.startswith("wrong"), problems or f"{file} is right"

    def _toml(self, block: Block) -> None:
        self._data(block)

    def _json(self, block: Block) -> None:
        if block.file is not None:
            self._data(block)
            return
        printed = self.terminal.printed
        assert subset(json.loads(block.content), json.loads(printed)), f"this was printed:\n{printed}"

    def _diff(self, block: Block) -> None:
        """Changes a file: the lines that begin with ` ` or `-` stand in it once, and give way to those with ` ` or `+`."""
        path = self._path(block)
        text = path.read_text(encoding="utf-8")
        lines = [line if line.strip() else f" {line}" for line in block.content.splitlines(keepends=True)]
        old = "".join(line[1:] for line in lines if line[0] != "+")
        new = "".join(line[1:] for line in lines if line[0] != "-")
        assert text.count(old) == 1, f"{block.file} says:\n{text}"
        path.write_text(text.replace(old, new), encoding="utf-8")

    def _data(self, block: Block) -> Any:
        value = None if block.quotes else PARSERS[block.language](block.content)
        self._write(block)
        return value

    def _write(self, block: Block) -> None:
        """Writes the block to its file; or, where the page says that the file says so already, looks."""
        path = self._path(block)
        if block.quotes:
            content = path.read_text(encoding="utf-8")
            assert holds(block.content, content), f"{block.file} says:\n{content}"
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.content, encoding="utf-8")

    def _path(self, block: Block) -> Path:
        assert block.file is not None, "the paragraph before it names no file"
        return self.terminal.here / block.file
