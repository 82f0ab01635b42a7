"""What the wheels hold: every file of the packages, the marker that says they are typed, and words to be found by."""

from __future__ import annotations

import email.message
import email.parser
import tomllib
import zipfile
from pathlib import Path

import pytest

from .bare import PACKAGES, ROOT


@pytest.fixture(scope="module")
def wheel(wheels: Path) -> zipfile.ZipFile:
    (path,) = wheels.glob("calumma-*.whl")
    return zipfile.ZipFile(path)


def metadata(wheel: zipfile.ZipFile) -> email.message.Message:
    (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    return email.parser.Parser().parsestr(wheel.read(name).decode())


def test_it_holds_every_file_of_the_packages_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    expected = {
        path.relative_to(package.parent).as_posix()
        for package in PACKAGES
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name in wheel.namelist() if ".dist-info/" not in name} == expected
    assert {"calumma/py.typed", "calumma/registry.yaml"} <= expected


def test_it_says_its_licence_and_its_entry_points(wheel: zipfile.ZipFile) -> None:
    names = {name.rpartition("/")[2] for name in wheel.namelist() if ".dist-info/" in name}
    assert {"LICENSE", "NOTICE", "entry_points.txt"} <= names
    (points,) = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
    text = wheel.read(points).decode()
    assert "calumma = calumma.cli.main:run" in text
    assert "[calumma.plugins.v1]" in text


def test_plugins_are_found_by_prefix_and_keyword(wheels: Path, wheel: zipfile.ZipFile) -> None:
    (starter,) = wheels.glob("calumma_starter-*.whl")
    for one in (wheel, zipfile.ZipFile(starter)):
        said = metadata(one)
        assert said["Name"].split("-")[0] == "calumma"
        assert {"calumma", "calumma-plugin"} <= set(said["Keywords"].split(","))
    assert "Typing :: Typed" in (metadata(wheel).get_all("Classifier") or [])


def test_every_extra_is_in_the_metadata(wheel: zipfile.ZipFile) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(metadata(wheel).get_all("Provides-Extra") or []) == set(project["optional-dependencies"])
