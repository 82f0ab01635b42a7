"""An environment that has what `pip install calumma` brings and nothing else, made of links to what is installed here."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sysconfig
import venv
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PACKAGES = (ROOT / "core/calumma", ROOT / "plugins/calumma_plugins")


def base_distributions() -> dict[str, importlib.metadata.Distribution]:
    """Name -> distribution: all that `calumma` needs, and what that needs, without extras; `calumma` itself first."""
    found: dict[str, importlib.metadata.Distribution] = {}
    wanted = ["calumma"]
    while wanted:
        name = canonicalize_name(wanted.pop())
        if name in found:
            continue
        found[name] = importlib.metadata.distribution(name)
        for line in found[name].requires or ():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                wanted.append(requirement.name)
    return found


def make(folder: Path) -> Path:
    """Makes the environment in a folder, which must not exist; returns its python."""
    venv.EnvBuilder(symlinks=True, with_pip=False).create(folder)
    site = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder)}))
    for distribution in base_distributions().values():
        for top in {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
            if not top.endswith(".pth"):
                _link(site / top, Path(str(distribution.locate_file(top))))
    for package in PACKAGES:
        _link(site / package.name, package)
    return folder / "bin" / "python"


def _link(place: Path, target: Path) -> None:
    if not place.exists():  # two distributions may share a namespace
        place.symlink_to(target)


def run(python: Path, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Runs an environment's python in a folder, seeing nothing but its own packages."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "CALUMMA"))}
    variables |= {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONNOUSERSITE": "1"}
    return subprocess.run([str(python), *words], cwd=cwd, env=variables, capture_output=True, text=True, timeout=120)
