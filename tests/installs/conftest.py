from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from .bare import ROOT


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheels of `calumma` and of `calumma-starter`, built from this repository."""
    folder = tmp_path_factory.mktemp("wheels")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder)]
    subprocess.run([*command, str(ROOT), str(ROOT / "plugins/starter")], check=True, timeout=600)
    return folder
