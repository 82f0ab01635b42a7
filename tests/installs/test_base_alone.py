"""`pip install calumma` and no extra: what looks works, and what is missing says what to type."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from calumma.extension import Catalog, ComponentSpec
from calumma.registry import shipped

from . import bare

OURS = [spec for kind in Catalog().kinds() for spec in Catalog().components(kind) if spec.target.startswith("calumma_plugins")]
LACKING = [spec for spec in OURS if "[" in spec.install]  # an extra
SMALL: dict[str, dict[str, Any]] = {
    "cm3leon/decoder": {"layers": 1, "width": 16, "heads": 2},
    "fusion/rrf": {"retrievers": ["exact/flat", "none/none"]},
}
BUILD = """
import json, sys
import calumma

said = {}
for kind, name, options in json.loads(sys.argv[1]):
    try:
        said[name] = repr(calumma.component(name, kind=kind, **options))
    except calumma.CalummaError as error:
        said[name] = [error.message, error.fix]
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bare.make(tmp_path_factory.mktemp("bare") / "env")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "file").write_bytes(b"some")
    return tmp_path


def options_of(spec: ComponentSpec) -> dict[str, Any]:
    return dict.fromkeys(spec.assets, "file") if spec in LACKING else SMALL.get(spec.name, {})


def words_of(name: str) -> str:
    return f"'{name}'" if "[" in name else name


def test_the_environment_has_the_base_and_none_of_the_extras(python: Path, work: Path) -> None:
    libraries = {module.partition(".")[0] for spec in LACKING for module in spec.requires}
    libraries |= {"lance", "pyarrow", "calumma_starter"}
    code = "import importlib.util as u, sys; print(*(name for name in sys.argv[1:] if u.find_spec(name)))"
    done = bare.run(python, "-c", code, *sorted(libraries), "torch", "calumma", "calumma_plugins", cwd=work)
    assert done.stdout.split() == ["torch", "calumma", "calumma_plugins"], done.stderr
    assert {"pluggy", "torch", "typer", "pydantic"} <= set(bare.base_distributions())


def test_it_imports_and_says_its_version(python: Path, work: Path) -> None:
    done = bare.run(python, "-c", "import calumma; print(calumma.__version__)", cwd=work)
    assert (done.returncode, done.stdout.strip()) == (0, bare.base_distributions()["calumma"].version), done.stderr


def test_every_component_is_listed_with_how_to_install_what_it_lacks(python: Path, work: Path) -> None:
    done = bare.run(python, "-m", "calumma", "plugins", "list", "--json", cwd=work)
    rows = {row["id"]: row for row in json.loads(done.stdout)}
    assert set(rows) == {spec.name for spec in OURS}
    for spec in OURS:
        assert rows[spec.name]["status"] == ("missing-extra" if spec in LACKING else "available")
        assert spec not in LACKING or rows[spec.name]["reason"].endswith(f"pip install {words_of(spec.install)}")


def test_the_shipped_registry_is_valid_and_shown(python: Path, work: Path) -> None:
    checked = bare.run(python, "-m", "calumma", "registry", "validate", str(shipped()), "--json", cwd=work)
    assert (checked.returncode, json.loads(checked.stdout)["ok"]) == (0, True), checked.stderr
    shown = bare.run(python, "-m", "calumma", "registry", "show", "--json", cwd=work)
    assert json.loads(shown.stdout)["slots"]["retriever"]["use"] == "hnswlib/hnsw"


def test_each_component_is_built_or_names_the_command_that_installs_it(python: Path, work: Path) -> None:
    asked = json.dumps([(spec.kind, spec.name, options_of(spec)) for spec in OURS])
    done = bare.run(python, "-c", BUILD, asked, cwd=work)
    said = json.loads(done.stdout)
    for spec in OURS:
        if spec in LACKING:
            message, fix = said[spec.name]
            assert message.startswith(f"{spec.name} needs ")
            assert fix == f"pip install {words_of(spec.install)}"
        else:
            assert said[spec.name].endswith(f"{spec.name}>")


@pytest.mark.parametrize("spec", LACKING, ids=lambda spec: spec.name)
def test_a_pipeline_that_uses_it_exits_with_2_and_the_command_for_all_that_is_missing(
    python: Path, work: Path, spec: ComponentSpec
) -> None:
    block = json.dumps({"use": spec.name, **options_of(spec)})
    lines = ["calumma: 1", "include: ['calumma:registry.yaml']", f"components: {{{spec.kind}: {{wanted: {block}}}}}"]
    (work / "registry.yaml").write_text("\n".join(lines) + "\n")
    done = bare.run(python, "-m", "calumma", "generate", "x", "--swap", f"{spec.kind}=wanted", "--json", cwd=work)
    error = json.loads(done.stdout)["error"]
    assert done.returncode == 2
    assert spec.name in error["message"]
    assert error["fix"].startswith("Run: pip install ")
    assert {spec.install, "calumma[bank]", "calumma-starter"} <= set(shlex.split(error["fix"])[3:])
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (("bank", "info", "."), 'pip install "calumma[bank]"'),
        (("bank", "search", "starter:memory", "apple"), "pip install calumma-starter"),
        (("plugins", "show", "painter"), "pip install calumma-painter"),
    ],
)
def test_what_else_is_missing_says_so_too(python: Path, work: Path, words: tuple[str, ...], command: str) -> None:
    done = bare.run(python, "-m", "calumma", *words, cwd=work)
    assert done.returncode == 2
    assert command in done.stderr
    assert done.stderr.startswith("calumma: ")
    assert done.stderr.count("\n") == 1
