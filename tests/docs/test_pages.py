"""Every fenced block of every page does what the page says, read from top to bottom in an empty folder."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest
from belongings import lay_out
from generate import components
from reader import Reader
from terminal import ROOT

from calumma.extension import Catalog

WRITTEN = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*/README.md")])
}
PAGES = {**WRITTEN, **components.pages(Catalog())}
LONG = {"examples/calumma-fsq/README.md": "it trains a tokenizer in full"}
_CACHES = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "dist", "out")


def marked(name: str) -> object:
    """The page as a parameter; one that takes minutes is for `make test-slow`."""
    return pytest.param(name, marks=pytest.mark.slow if name in LONG else ())


@pytest.mark.parametrize("name", [marked(name) for name, text in PAGES.items() if "```" in text or "~~~" in text])
def test_a_page_does_what_it_says(name: str, tmp_path: Path) -> None:
    folder, aside = tmp_path / "folder", tmp_path / "aside"
    aside.mkdir()
    project = (ROOT / name).parent if name.startswith("examples/") else None
    if project is None:
        folder.mkdir()
    else:
        shutil.copytree(project, folder, ignore=_CACHES)
    lay_out(PAGES[name], folder)
    begun = time.monotonic()
    Reader(PAGES[name], folder, aside, project).read()
    assert name in LONG or time.monotonic() - begun < 300, "a reader would not wait so long"
