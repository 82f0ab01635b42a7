"""Environments layered on the one that runs the tests: they see all that it has and keep what is installed to themselves."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

AS_MODULES = frozenset({"build", "calumma", "mypy", "pip", "pytest"})
_ALONE = ("--quiet", "--disable-pip-version-check", "--no-deps", "--no-index", "--no-build-isolation")


@dataclass(frozen=True)
class Environment:
    """A virtual environment.

    Attributes:
        folder: where it lies.
        python: its interpreter.
    """

    folder: Path
    python: Path

    def install(self, *what: Path) -> None:
        """Installs wheels or project folders, without their dependencies and without a network."""
        self.run(["pip", "install", *_ALONE, *map(str, what)])

    def wheel(self, project: Path, out: Path) -> Path:
        """Builds the wheel of a project folder into `out`, an empty or new folder, without a network."""
        self.run(["pip", "wheel", *_ALONE, "--wheel-dir", str(out), str(project)])
        (built,) = out.glob("*.whl")
        return built

    def run(
        self,
        words: Sequence[str],
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        check: bool = True,
        timeout: float = 300,
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command as one would type it with this environment activated; what it prints is captured.

        Args:
            words: a command; `python` and those of `AS_MODULES` are this environment's, others the parent's.
            cwd: where; the environment's own folder by default.
            env: variables beside those of this process.
            check: whether a failure is an AssertionError with all that was printed.
        """
        done = subprocess.run(
            self._command(words),
            cwd=cwd or self.folder,
            env=self._variables(env or {}),
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert not check or done.returncode == 0, f"{' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def _command(self, words: Sequence[str]) -> list[str]:
        if words[0] == "python":
            return [str(self.python), *words[1:]]
        if words[0] in AS_MODULES:
            return [str(self.python), "-m", *words]
        return [str(Path(sysconfig.get_path("scripts"), words[0])), *words[1:]]

    def _variables(self, more: Mapping[str, str]) -> dict[str, str]:
        ours = ("PYTHONPATH", "PYTHONHOME", "CALUMMA_BLOCK")
        kept = {name: value for name, value in os.environ.items() if name not in ours}
        return {**kept, "VIRTUAL_ENV": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1", **more}


def layered(folder: Path) -> Environment:
    """Makes an environment in `folder`, which must not exist, on top of the running one; its editable installs work too."""
    venv.EnvBuilder(symlinks=True).create(folder)
    own = sysconfig.get_path("purelib", "venv", {"base": str(folder)})
    parents = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    lines = [f"import site; site.addsitedir({parent!r})\n" for parent in parents]
    Path(own, "layer.pth").write_text("".join(lines), encoding="utf-8")
    return Environment(folder, folder / "bin" / "python")
