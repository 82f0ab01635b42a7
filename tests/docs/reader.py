"""A reader who does what a page says, from top to bottom, in an empty folder."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import yaml
from blocks import Block, blocks
from environments import Environment, layered
from expected import holds, matches, subset

from calumma.bank.trust import cache_folder
from calumma.cli.main import run
from calumma.registry import validate

ROOT = Path(__file__).parents[2]
SHELL = frozenset({"cat", "cp", "find", "ls", "mkdir", "mv"})
APART = re.compile(r"^python ", re.MULTILINE)  # what it does is kept out of the environment of the tests
_ALONE = {  # the environment has all dependencies, and there is no network
    "-m pip install": ("--disable-pip-version-check", "--no-deps", "--no-index", "--no-build-isolation", "--quiet"),
    "-m build": ("--no-isolation",),
}
PARSERS = {"toml": tomllib.loads, "yaml": yaml.safe_load, "json": json.loads}
_EXIT = re.compile(r"#.*\bexit code (\d)")


class Reader:
    """Runs the blocks of one page.

    A page that calls python is read in a virtual environment of its own, each command in a process; any other in
    this process, where libraries and weights are loaded already.

    Args:
        page: its Markdown.
        folder: an existing folder to work in; what the reader has already lies there.
        aside: an existing folder for what the reader does not look at: a home, a virtual environment.
    """

    def __init__(self, page: str, folder: Path, aside: Path) -> None:
        self.blocks = blocks(page)
        self.variables = {"HOME": str(aside), "CALUMMA_CACHE": str(cache_folder())}  # no command may touch the real home
        self.here = folder
        self.printed = ""
        self.names: dict[str, Any] = {"__name__": "__main__"}
        apart = any(block.language == "sh" and APART.search(block.content) for block in self.blocks)
        self.environment: Environment | None = layered(aside / "environment") if apart else None

    def read(self) -> None:
        """Runs every block. Raises AssertionError with the line of the block that does not do what the page says."""
        for block in self.blocks:
            try:
                getattr(self, f"_{block.language}")(block)
            except Exception as error:
                raise AssertionError(f"line {block.line}: {error}\n{block.content}") from error

    def _python(self, block: Block) -> None:
        if block.file is not None:
            self._write(block)
        elif self.environment is not None:
            self.printed = self.environment.run(["python", "-c", block.content], self.here, self.variables).stdout
        else:
            with self._listening():
                exec(compile(block.content, f"<line {block.line}>", "exec"), self.names)

    def _sh(self, block: Block) -> None:
        self.printed = ""
        for line in block.content.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            code = _EXIT.search(line)
            variables = dict(self.variables)
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                name, _, variables[name] = words.pop(0).partition("=")
            if words:
                self._command(line, words, variables, int(code[1]) if code else 0)

    def _command(self, line: str, words: list[str], variables: dict[str, str], code: int) -> None:
        name = Path(words[0]).name
        if name == "cd":
            self.here = (self.here / words[1]).resolve()
            assert self.here.is_dir(), f"there is no folder {words[1]}"
        elif name == "make":
            self._process(shlex.join(["make", "-n", "-C", str(ROOT), *words[1:]]), variables, code)
        elif name in SHELL:
            self._process(line, variables, code)
        elif self.environment is not None and name in ("calumma", "python"):
            more = _ALONE.get(" ".join(words[1:4 if "pip" in words else 3]), ())
            done = self.environment.run([name, *words[1:], *more], cwd=self.here, env=variables, check=False)
            self._took(line, done.returncode, code, done.stdout + done.stderr)
        elif name == "calumma":
            self._calumma(line, words, variables, code)
        else:
            raise ValueError(f"no test runs {name}")

    def _calumma(self, line: str, words: list[str], variables: dict[str, str], code: int) -> None:
        before, arguments = dict(os.environ), sys.argv
        os.environ.update(variables)
        sys.argv = ["calumma", *words[1:]]
        said = self.printed
        try:
            with self._listening():
                run()
        except SystemExit as stopped:
            found, self.printed = self.printed, said
            self._took(line, stopped.code, code, found)
        finally:
            sys.argv = arguments
            os.environ.clear()
            os.environ.update(before)

    def _process(self, line: str, variables: dict[str, str], code: int) -> None:
        done = subprocess.run(
            ["sh", "-c", line], cwd=self.here, capture_output=True, text=True, env={**os.environ, **variables, "LC_ALL": "C"}
        )
        self._took(line, done.returncode, code, done.stdout + done.stderr)

    def _took(self, line: str, code: object, expected: int, printed: str) -> None:
        assert code == expected, f"`{line}` ended with {code}, not {expected}:\n{printed}"
        self.printed += printed

    @contextlib.contextmanager
    def _listening(self) -> Any:
        """In the reader's folder, with what is printed kept."""
        heard = io.StringIO()
        with contextlib.chdir(self.here), contextlib.redirect_stdout(heard), contextlib.redirect_stderr(heard):
            try:
                yield
            finally:
                self.printed = heard.getvalue()

    def _text(self, block: Block) -> None:
        assert matches(block.content, self.printed), f"this was printed:\n{self.printed}"

    def _yaml(self, block: Block) -> None:
        value = self._data(block)
        if isinstance(value, dict) and "calumma" in value and block.file is not None:
            self._validate(block.file)

    def _validate(self, file: str) -> None:
        """Every registry of a page is right, unless its name says that it is wrong; plugins of the environment are there."""
        if self.environment is not None:
            words = ["calumma", "registry", "validate", file, "--allow-local"]
            done = self.environment.run(words, cwd=self.here, check=False)
            problems = done.stderr if done.returncode else ""
        else:
            with contextlib.chdir(self.here):
                problems = "\n".join(map(str, validate(Path(file), allow_local=True)))
        assert bool(problems) == Path(file).name.startswith("wrong"), problems or f"{file} is right"

    def _diff(self, block: Block) -> None:
        """Changes a file: the lines of a hunk that begin with ` ` or `-` stand in it once, and give way to those with ` ` or `+`."""
        assert block.file is not None, "the paragraph before it names no file"
        path = self.here / block.file
        text = path.read_text(encoding="utf-8")
        lines = block.content.splitlines(keepends=True)
        old = "".join(line[1:] for line in lines if line[0] != "+")
        new = "".join(line[1:] for line in lines if line[0] != "-")
        assert text.count(old) == 1, f"{block.file} says:\n{text}"
        path.write_text(text.replace(old, new), encoding="utf-8")

    def _toml(self, block: Block) -> None:
        self._data(block)

    def _json(self, block: Block) -> None:
        if block.file is None:
            shown, there = json.loads(block.content), json.loads(self.printed)
            assert subset(shown, there), f"this was printed:\n{self.printed}"
        else:
            self._data(block)

    def _data(self, block: Block) -> Any:
        assert block.file is not None, "the paragraph before it names no file"
        value = None if block.quotes else PARSERS[block.language](block.content)
        self._write(block)
        return value

    def _write(self, block: Block) -> None:
        """Writes the block to its file; or, where the page says that the file says so already, looks."""
        assert block.file is not None
        path = self.here / block.file
        if block.quotes:
            content = path.read_text(encoding="utf-8")
            assert holds(block.content, content), f"{block.file} says:\n{content}"
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.content, encoding="utf-8")
