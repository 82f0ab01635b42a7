"""The terminal of a reader: each line of a shell block is run for real, where the reader is."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from environments import Environment

from calumma.cli.main import run

ROOT = Path(__file__).parents[2]
SHELL = frozenset({"cat", "cp", "find", "ls", "mkdir", "mv"})
TOOLS = frozenset({"calumma", "mypy", "pip", "python", "ruff"})
MOST = 1800  # seconds; only the training of an example comes near it
_EXIT = re.compile(r"#.*\bexit code (\d)")
_SETS = re.compile(r"[A-Z_]+=.*")


class Terminal:
    """Runs commands; those of Calumma and Python in the environment, where there is one, else in this process.

    Attributes:
        here: the working directory.
        printed: what the last block printed.
    """

    def __init__(self, here: Path, variables: Mapping[str, str], environment: Environment | None, wheels: Path | None) -> None:
        self.here, self.printed = here, ""
        self._variables, self._environment = variables, environment
        index = () if wheels is None else ("--find-links", str(wheels))
        self._more = {  # the environment has all dependencies, and there is no network
            "pip install": ("--disable-pip-version-check", "--no-index", "--no-build-isolation", "--quiet", *index),
            "-m build": ("--no-isolation",),
        }

    def type(self, content: str) -> None:
        """Runs every line. A line is to end with 0, unless its comment says `exit code N`. Raises AssertionError."""
        self.printed = ""
        for line in content.replace("\\\n", " ").splitlines():
            code = _EXIT.search(line)
            for command in line.split(" && "):
                words = shlex.split(command, comments=True)
                variables = dict(self._variables)
                while words and _SETS.fullmatch(words[0]):
                    name, _, variables[name] = words.pop(0).partition("=")
                if words:
                    self._command(command, words, variables, int(code[1]) if code else 0)

    def python(self, code: str) -> None:
        """Runs a script in the environment."""
        assert self._environment is not None
        done = self._environment.run(["python", "-c", code], self.here, self._variables)
        self.printed = done.stdout + done.stderr

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """For code of this process: in the reader's folder, with what is printed kept."""
        heard = io.StringIO()
        with contextlib.chdir(self.here), contextlib.redirect_stdout(heard), contextlib.redirect_stderr(heard):
            try:
                yield
            finally:
                self.printed = heard.getvalue()

    def _command(self, line: str, words: list[str], variables: dict[str, str], code: int) -> None:
        name = Path(words[0]).name
        if name == "cd":
            self.here = (self.here / words[1]).resolve()
            assert self.here.is_dir(), f"there is no folder {words[1]}"
        elif name == "make":
            self._process(shlex.join(["make", "-n", "-C", str(ROOT), *words[1:]]), variables, code)
        elif name in SHELL:
            self._process(line, variables, code)
        elif self._environment is not None and name in TOOLS:
            more = next((flags for start, flags in self._more.items() if start in " ".join(words)), ())
            done = self._environment.run([name, *words[1:], *more], cwd=self.here, env=variables, check=False, timeout=MOST)
            self._took(line, done.returncode, code, done.stdout + done.stderr)
        elif name == "calumma":
            self._calumma(line, words, variables, code)
        else:
            raise ValueError(f"no test runs {name}")

    def _calumma(self, line: str, words: list[str], variables: dict[str, str], code: int) -> None:
        environment, arguments, before = dict(os.environ), sys.argv, self.printed
        os.environ.update(variables)
        sys.argv = ["calumma", *words[1:]]
        try:
            with self.listening():
                run()
        except SystemExit as stopped:
            printed, self.printed = self.printed, before
            self._took(line, stopped.code, code, printed)
        finally:
            sys.argv = arguments
            os.environ.clear()
            os.environ.update(environment)

    def _process(self, line: str, variables: dict[str, str], code: int) -> None:
        variables = {**os.environ, **variables, "LC_ALL": "C"}
        done = subprocess.run(["sh", "-c", line], cwd=self.here, capture_output=True, text=True, env=variables)
        self._took(line, done.returncode, code, done.stdout + done.stderr)

    def _took(self, line: str, code: object, expected: int, printed: str) -> None:
        assert code == expected, f"`{line}` ended with {code}, not {expected}:\n{printed}"
        self.printed += printed
