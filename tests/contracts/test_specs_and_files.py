"""The rules about what a spec says of its component, and about a component's files: each catches what is broken on purpose."""

from __future__ import annotations

from pathlib import Path

import pytest

from calumma.contracts import TextTokenizerContract, run
from calumma.extension import Catalog

PLUGIN = '''
import json

from calumma.contracts.samples.text_tokenizer import ByteTokenizer
from calumma.errors import AssetError
from calumma.extension import ComponentSpec, hookimpl
from calumma.interfaces import Asset, Options
from pydantic import Field


class Key(Options):
    file: Asset = Field(description="A JSON file with the number that is added to every id.")


class Shifted(ByteTokenizer):
    """Ids are bytes, moved around the circle of 256 by what its file says."""

    Options = Key
    id = "shifted/bytes"
    moved = None

    def warm_up(self, device="cpu", dtype="float32"):
        self.moved = self._read()

    def _read(self):
        try:
            return int(json.loads(self.options.file.local.read_text())["by"])
        except (ValueError, KeyError, TypeError) as error:
            raise AssetError("The file of the tokenizer cannot be read.", "Give another.") from error

    def encode(self, text):
        return [(one + self.moved) % 256 for one in super().encode(text)]

    def decode(self, ids):
        super().decode(ids)
        return super().decode([(one - self.moved) % 256 for one in ids])


def small(folder):
    (folder / "key.json").write_text('{"by": 3}')
    return {"file": str(folder / "key.json")}


@hookimpl
def calumma_components():
    yield ComponentSpec(
        "text_tokenizer", "shifted/bytes", "Moves bytes.", "shifted:Shifted", "shifted:Key",
        example="shifted:small", assets=("file",), requires=(),
    )
'''


def broken(folder: Path, *changes: tuple[str, str]) -> dict[str, str]:
    """{rule: what was found} of the plugin, some of its text replaced."""
    text = PLUGIN
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "shifted.py").write_text(text)
    found = Catalog(allow_local=True)
    found.extend(local=[folder / "shifted.py"])

    class Tested(TextTokenizerContract):
        component, catalog = "shifted/bytes", found

    return {one.name: one.found for one in run(Tested) if not one.kept}


def test_a_plugin_with_a_file_that_keeps_every_rule_is_not_refused(tmp_path: Path) -> None:
    assert broken(tmp_path) == {}


@pytest.mark.parametrize(
    "change",
    [
        ("import json\n", "import jsonschema, json\n"),
        ("import json\n", "from jsonschema.validators import validator_for\nimport json\n"),
    ],
)
def test_a_library_that_nobody_installs_is_caught(tmp_path: Path, change: tuple[str, str]) -> None:
    found = broken(tmp_path, change)
    assert list(found) == ["test_the_spec_names_what_it_needs"]
    assert "it imports jsonschema;" in found["test_the_spec_names_what_it_needs"]


@pytest.mark.parametrize(
    "change",
    [
        [("import json\n", "import jsonschema, json\n"), ("requires=()", "requires=('jsonschema',)")],
        [("import json\n", "import json, PIL.Image, safetensors, torch, yaml\n")],
        [("    def _read(self):\n", "    def _read(self):\n        import jsonschema\n")],
    ],
    ids=["named", "calumma's own", "imported where it is used"],
)
def test_a_library_that_is_named_or_comes_with_calumma_is_not_refused(tmp_path: Path, change: list[tuple[str, str]]) -> None:
    assert broken(tmp_path, *change) == {}


def test_an_id_that_is_not_the_specs_is_caught(tmp_path: Path) -> None:
    found = broken(tmp_path, ('id = "shifted/bytes"', 'id = "shifted/bites"'))
    assert list(found) == ["test_the_class_has_the_id_of_the_spec"]
    assert "'shifted/bites', and the spec says 'shifted/bytes'" in found["test_the_class_has_the_id_of_the_spec"]


@pytest.mark.parametrize("assets", ["()", "('fiel',)", "('file', 'other')"])
def test_files_that_the_spec_does_not_name_are_caught(tmp_path: Path, assets: str) -> None:
    found = broken(tmp_path, ('assets=("file",)', f"assets={assets}"))
    assert list(found) == ["test_the_spec_names_its_files"]
    assert "are ['file']" in found["test_the_spec_names_its_files"]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (("except (ValueError,", "except (EOFError,"), "it raised JSONDecodeError"),
        (("except (ValueError,", "except (json.JSONDecodeError,"), "it raised UnicodeDecodeError"),
        (('"The file of the tokenizer cannot be read."', '"Oh!"'), "a file that is empty is refused without a sentence"),
    ],
    ids=["its library's error", "noise alone", "no sentence"],
)
def test_a_damaged_file_that_bursts_is_caught(tmp_path: Path, change: tuple[str, str], what: str) -> None:
    found = broken(tmp_path, change)
    assert list(found) == ["test_damaged_files_are_refused_with_a_sentence"]
    assert what in found["test_damaged_files_are_refused_with_a_sentence"]


def test_a_file_that_is_read_after_warm_up_is_caught(tmp_path: Path) -> None:
    found = broken(tmp_path, ("self.moved = self._read()", "pass"), ("self.moved) % 256 for", "self._read()) % 256 for"))
    assert list(found) == ["test_a_warm_one_needs_its_files_no_more"]
    assert "it raised FileNotFoundError" in found["test_a_warm_one_needs_its_files_no_more"]
