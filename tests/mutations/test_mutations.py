"""The contracts notice mechanical changes of our own plugins, or the survivor is on survivors.md with the reason."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from .mutants import mutants_of
from .reasons import reason_of
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
    assert set(pages) - {"all"} == plugins
    assert {name: page.unexplained for name, page in pages.items() if page.unexplained} == {}
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


@pytest.mark.parametrize(
    ("mutant", "word"),
    [
        ("a/options.py AOptions: in `k: int | None = Field(256, ge=1, le=1 << 24, ...` `256` becomes `257`", "bound"),
        ("a/b.py module: in `MAX_BYTES = 2 ** 28` `28` becomes `29`", "constant"),
        (
            "a/b.py B.warm_up: in `def warm_up(self, device: Device='cpu', dtype: Dtype='float32') -> None:` "
            "`'cpu'` becomes `'cpuX'`",
            "device",
        ),
        (
            "a/b.py B.f: in `content = json.loads(path.read_text(encoding='utf-8'))` `encoding='utf-8'` becomes nothing",
            "encoding",
        ),
    ],
)
def test_what_follows_from_the_kind_of_change_explains_itself(mutant: str, word: str) -> None:
    told = reason_of(mutant)
    assert told is not None
    assert word in told.lower()
    assert Page().renewed([mutant], 2, 2).why == {mutant: told}


@pytest.mark.parametrize(
    "mutant",
    [
        "a/options.py AOptions: in `k: int = Field(256, ge=1)` `ge=1` becomes nothing",  # a bound that is gone
        "a/b.py f: `raise ValueError('too large')` becomes `pass`",
        "a/b.py f: in `if len(rows) < k:` `len(rows) < k` becomes `len(rows) <= k`",
        "a/b.py f: in `return rows[1:]` `1` becomes `2`",
    ],
)
def test_what_may_be_a_fault_is_for_somebody_to_look_at(mutant: str) -> None:
    assert reason_of(mutant) is None


@pytest.mark.parametrize(
    ("mutant", "explained"),
    [
        ("a.py Options: in `k: int = Field(256, ge=1, le=1 << 24)` `256` becomes `257`", True),
        ("a.py Options: in `k: int = Field(256, ge=1, le=1 << 24)` `ge=1` becomes nothing", False),
        ("a.py Options: in `mean: list[float] = Field(None, min_length=3, max_length=3)` `3` becomes `4`", False),
        ("a.py module: in `MAX_BYTES = 2 ** 28` `28` becomes `29`", True),
        ("a.py module: in `COMMITMENT = 0.25` `0.25` becomes `1.25`", False),
        ("a.py Options: in `model_config = ConfigDict(extra='ignore', frozen=True)` `True` becomes `False`", True),
        ("a.py Options: in `model_config = ConfigDict(extra='forbid', strict=True)` `True` becomes `False`", False),
        ("a.py f: in `fix = 'Check the path.'` `'Check the path.'` becomes `'Check the path.X'`", True),
        ("a.py f: in `where = '.'.join(first['loc'])` `'loc'` becomes `'locX'`", False),
        ("a.py f: in `told = {'parts': 1}` `'parts'` becomes `'partsX'`", False),
        ("a.py f: in `return a + b` `a + b` becomes `a - b`", False),
    ],
)
def test_the_kind_of_a_change_explains_no_more_than_what_it_is_true_for(mutant: str, explained: bool) -> None:
    assert (reason_of(mutant) is not None) == explained
