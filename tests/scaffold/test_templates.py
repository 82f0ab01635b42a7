"""Templates of kinds that plugins bring, and what is said of one that is not as it must be."""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from calumma.errors import ComponentError
from calumma.extension import Catalog, KindSpec, hookimpl
from calumma.extension.kinds import BUILT_IN
from calumma.scaffold import Distribution, distribution
from calumma.scaffold.template import PLACEHOLDERS

from ..environments import Environment

ROOT = Path(__file__).parents[2]
GOOD = """\
component: corner
summary: Marks a corner.
=== src/$package/$module.py ===
class $class_name:
    price = "$$1"
=== README.md ===
$component by $distribution
"""


@pytest.fixture
def of_a_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Distribution]:
    """Scaffolds the plugin `mine` of a kind `water-mark` that another plugin brings with this template."""
    package = tmp_path / "frames_for_tests"
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, package.name, raising=False)

    def scaffold(text: str, template: str = "frames_for_tests:water.txt") -> Distribution:
        (package / "water.txt").write_text(text, encoding="utf-8")

        class Plugin:
            @staticmethod
            @hookimpl
            def calumma_kinds() -> list[KindSpec]:
                return [KindSpec("water-mark", "Marks pictures.", "frames_for_tests:Watermark", template=template)]

        catalog = Catalog()
        catalog.add("frames", Plugin())
        return distribution("mine", "water-mark", catalog)

    return scaffold


def test_a_kind_of_a_plugin_brings_its_own_template(of_a_kind: Callable[..., Distribution]) -> None:
    found = of_a_kind(GOOD)
    assert found.component == "mine/corner"
    assert found.files["src/calumma_mine/water_mark.py"] == 'class MineWatermark:\n    price = "$1"\n'
    assert found.files["README.md"] == "mine/corner by calumma-mine\n"
    assert 'keywords = ["calumma", "calumma-plugin", "water-mark"]' in found.files["pyproject.toml"]


def test_every_documented_placeholder_can_be_used(of_a_kind: Callable[..., Distribution]) -> None:
    every = "".join(f"{name}=${name}\n" for name in PLACEHOLDERS)
    filled = of_a_kind(f"{GOOD}=== registry.yaml ===\ncalumma: 1\n=== all.txt ===\n{every}").files["all.txt"]
    assert dict(line.split("=") for line in filled.splitlines() if "=" in line) == {
        "name": "mine",
        "distribution": "calumma-mine",
        "package": "calumma_mine",
        "kind": "water-mark",
        "module": "water_mark",
        "component": "mine/corner",
        "class_name": "MineWatermark",
        "options_class": "MineWatermarkOptions",
        "summary": "Marks a corner.",
        "capabilities": "{}",
        "calumma": "0.1.0",
        "registry": "calumma: 1",
    }


def test_a_kind_without_a_template_is_refused(of_a_kind: Callable[..., Distribution]) -> None:
    with pytest.raises(ComponentError, match="'water-mark' has no template"):
        of_a_kind(GOOD, template="")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (GOOD.replace("$component", "$nothing"), r"no placeholder \$nothing"),
        (GOOD.replace("$$1", "$1"), "a dollar is written"),
        (GOOD.replace("README.md", "../README.md"), "leaves the folder"),
        (GOOD.replace("README.md", "/README.md"), "leaves the folder"),
        (GOOD.replace("summary: Marks a corner.\n", ""), "does not say its summary"),
        (GOOD.replace("summary:", "sumary:"), "begins with something else"),
        ("a text\n" + GOOD, "begins with something else"),
    ],
)
def test_a_broken_template_is_refused_with_the_reason(text: str, reason: str, of_a_kind: Callable[..., Distribution]) -> None:
    with pytest.raises(ComponentError, match=reason) as refused:
        of_a_kind(text)
    assert "water-mark" in refused.value.message


@pytest.mark.parametrize("template", ["frames_for_tests:other.txt", "no_such_package:water.txt", "json.tool:water.txt"])
def test_a_template_that_is_not_there_is_refused(template: str, of_a_kind: Callable[..., Distribution]) -> None:
    with pytest.raises(ComponentError, match=f"{template} cannot be read"):
        of_a_kind(GOOD, template=template)


@pytest.mark.parametrize("template", ["water.txt", "frames_for_tests:../water.txt", "frames_for_tests:/water.txt", "a/b:c"])
def test_a_plugin_whose_template_is_no_file_of_a_package_is_broken(
    template: str, of_a_kind: Callable[..., Distribution]
) -> None:
    with pytest.raises(ComponentError, match="not 'package:file'"):
        of_a_kind(GOOD, template=template)


def test_the_wheel_of_calumma_holds_the_templates(environment: Environment, tmp_path: Path) -> None:
    held = set(zipfile.ZipFile(environment.wheel(ROOT, tmp_path)).namelist())
    for kind in BUILT_IN:
        package, _, file = kind.template.partition(":")
        assert f"{package.replace('.', '/')}/{file}" in held
    assert "calumma/scaffold/templates/common.txt" in held
