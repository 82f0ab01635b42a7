from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
# pytest's importlib mode does not: tests here share `blocks`, `reader` and others, the environments, and what generates pages
sys.path[:0] = [str(Path(__file__).parent), str(ROOT / "tests"), str(ROOT / "docs")]
