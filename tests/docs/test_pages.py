"""Every fenced block of every page does what the page says, read from top to bottom in an empty folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from belongings import lay_out
from generate import components
from reader import ROOT, Reader

from calumma.extension import Catalog

WRITTEN = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*/README.md")])
}
PAGES = {**WRITTEN, **components.pages(Catalog())}


@pytest.mark.parametrize("name", [name for name, text in PAGES.items() if "```" in text or "~~~" in text])
def test_a_page_does_what_it_says(name: str, tmp_path: Path) -> None:
    folder, aside = tmp_path / "empty", tmp_path / "aside"
    folder.mkdir()
    aside.mkdir()
    lay_out(PAGES[name], folder)
    Reader(PAGES[name], folder, aside).read()
