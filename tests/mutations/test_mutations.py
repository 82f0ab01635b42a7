"""The contracts notice mechanical changes of our own plugins, or the survivor is on survivors.md with the reason."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from .mutants import mutants_of
from .survivors import FILE, Page, read, written
from .targets import ROOT, TARGETS, contracts_of, files_of

SOURCE = '''
"""Words."""
import os

LIMIT = 3

def first(rows, key="a", strict=True):
    """Words."""
    if not rows or len(rows) > LIMIT:
        raise ValueError("words", 1)
    return [row for row in rows if row.get(key, default=0) == -1]
'''


@pytest.mark.slow
@pytest.mark.parametrize("plugin", TARGETS)
def test_what_survives_is_explained_and_the_share_does_not_fall(plugin: str, capsys: pytest.CaptureFixture[str]) -> None:
    done = subprocess.run([sys.executable, "-m", "tests.mutations", plugin], cwd=ROOT.parent, capture_output=True, text=True)
    with capsys.disabled():
        print(f"\n{done.stdout}", end="")
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_plugin_of_ours_is_mutated_and_the_page_is_as_it_was_written() -> None:
    plugins = {file.parent.name for file in (ROOT / "calumma_plugins").glob("*/__init__.py")}
    assert set(TARGETS) == plugins
    pages = read(FILE.read_text(encoding="utf-8"))
    assert pages
    assert set(pages) - {"all"} <= plugins
    assert written({name: page for name, page in pages.items() if name != "all"}) == FILE.read_text(encoding="utf-8")


def test_the_contracts_are_those_that_make_test_runs() -> None:
    for plugin in TARGETS:
        assert files_of(plugin)
        for contract in contracts_of(plugin):
            assert str(contract.component).startswith(f"{plugin}/")


def test_a_mutant_changes_one_place_and_leaves_words_alone(tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    file = tmp_path / "package" / "module.py"
    file.write_text(SOURCE)
    mutants = mutants_of(tmp_path, file)
    names = [one.name for one in mutants]
    assert len(set(names)) == len(names)
    assert {one.module for one in mutants} == {"package.module"}
    texts = [ast.unparse(one.tree) for one in mutants]
    assert ast.unparse(ast.parse(SOURCE)) not in texts
    assert len(set(texts)) == len(texts)
    assert all('"""Words."""' in text and "import os" in text for text in texts)
    assert sum("ValueError('words', 1)" in text for text in texts) == len(texts) - 1
    for change in (
        "module.py module: in `LIMIT = 3` `3` becomes `4`",
        "module.py first: in `if not rows or len(rows) > LIMIT:` `len(rows) > LIMIT` becomes `len(rows) >= LIMIT`",
        "module.py first: in `if not rows or len(rows) > LIMIT:` `not rows` becomes `rows`",
        "module.py first: `raise ValueError('words', 1)` becomes `pass`",
    ):
        assert change in names
    assert any(name.endswith("`default=0` becomes nothing") for name in names)


def test_explanations_survive_when_the_page_is_written_anew() -> None:
    known, new = "mine/a.py f: `a` becomes `b`", "mine/a.py g: `c` becomes `d`"
    page = Page(mutants=50, killed=49, why={known: "The same to the last bit"})
    renewed = page.renewed([known, new], 100, 100)
    assert renewed.why[known] == "The same to the last bit"
    assert renewed.unexplained == [new]
    assert (renewed.killed, renewed.share) == (98, 0.98)
    assert read(written({"mine": renewed}))["mine"].why == renewed.why
