"""Every kind scaffolded once by the command, under names that are easy to trip over, and installed into one environment."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from calumma.extension.kinds import BUILT_IN
from calumma.scaffold.names import LONGEST

from ..environments import Environment, layered

NAMES = {
    "image_tokenizer": "my-tokenizer",
    "text_tokenizer": "x2",
    "embedder": "class",
    "retriever": "my-retriever",
    "selection": "y" * LONGEST,
    "decoder": "a-1-b-2-c-3-d-4-e-5-f-6-g-7-h8",
    "sampler": "torch",
    "rule": "rule",
}
KINDS = [kind.name for kind in BUILT_IN]
CHECK = """
import contextlib, io, json, sys
from calumma.cli.main import run
found = []
for name in sys.argv[1:]:
    sys.argv = ["calumma", "plugins", "check", name]
    said, code = io.StringIO(), 0
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            run()
        except SystemExit as ended:
            code = ended.code
    found.append((code, said.getvalue()))
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Written:
    """What `calumma plugins new` wrote for a kind, and what it said."""

    kind: str
    name: str
    folder: Path
    said: dict[str, Any]

    @property
    def package(self) -> Path:
        (package,) = (self.folder / "src").iterdir()
        return package


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return layered(tmp_path_factory.mktemp("scaffold") / "environment")


@pytest.fixture(scope="session")
def written(environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Written]:
    """kind -> what was written, before anything of it is installed."""
    here = tmp_path_factory.mktemp("written")
    found = {}
    for kind in KINDS:
        said = environment.run(["calumma", "plugins", "new", NAMES[kind], "--kind", kind, "--json"], here)
        found[kind] = Written(kind, NAMES[kind], here / NAMES[kind], json.loads(said.stdout))
    return found


@pytest.fixture(scope="session")
def installed(environment: Environment, written: dict[str, Written]) -> Environment:
    """The environment with all of them, each built as a wheel."""
    environment.install(*(one.folder for one in written.values()))
    return environment


@pytest.fixture(scope="session")
def verdicts(installed: Environment) -> dict[str, tuple[int, str]]:
    """kind -> exit code and output of `calumma plugins check` on its plugin; one process makes all calls."""
    said = installed.run(["python", "-c", CHECK, *NAMES.values()], env={"OMP_NUM_THREADS": "1"})
    return dict(zip(NAMES, json.loads(said.stdout), strict=True))


@pytest.fixture(scope="session")
def outcomes(installed: Environment, written: dict[str, Written], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """kind -> the test cases of its distribution as pytest reports them; one process runs those of all."""
    folder = tmp_path_factory.mktemp("outcomes")
    for one in written.values():
        shutil.copy(one.folder / "tests/test_contract.py", folder / f"test_{one.kind}.py")
    words = ["pytest", "-c", "/dev/null", "--rootdir", ".", "-p", "no:cacheprovider", "--junitxml", "results.xml", "."]
    installed.run(words, folder, {"OMP_NUM_THREADS": "1"}, check=False)
    cases = list(ElementTree.parse(folder / "results.xml").iter("testcase"))
    return {kind: [case for case in cases if case.get("classname", "").split(".")[0] == f"test_{kind}"] for kind in KINDS}
