from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# pytest's importlib mode does not: tests here share `blocks`, `reader` and others, the environments, and what generates pages
sys.path[:0] = [str(Path(__file__).parent), str(ROOT / "tests"), str(ROOT / "docs")]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole site, built as `make docs` does; a warning fails it."""
    out = tmp_path_factory.mktemp("site") / "site"
    done = subprocess.run([sys.executable, ROOT / "docs/make_site.py", "--out", out], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return out.resolve()
