"""A registry is data: whatever its YAML says, no code of its choosing runs, and nothing outside of its reach is read."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from calumma.errors import CalummaError
from calumma.extension import Catalog
from calumma.extension.assets import parse_hub
from calumma.registry import validate

from .conftest import Canary, Refused

HEAD = "calumma: 1\n"
BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{after}: &{after} [{','.join([f'*{before}'] * 9)}]\n" for before, after in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGES = "a: &a {x: 1}\n" + "".join(
    f"{after}: &{after} {{<<: [{','.join([f'*{before}'] * 9)}]}}\n"
    for before, after in zip("abcdefgh", "bcdefghi", strict=True)
)
YAML = {
    "an object that calls the shell": "pipelines: !!python/object/apply:os.system ['{command}']",
    "an object made anew": "pipelines: !!python/object/new:os.system ['{command}']",
    "a module": "pipelines: !!python/module:antigravity ''",
    "a name": "pipelines: {{default: {{bank: !!python/name:os.system ''}}}}",
    "a tag of its own": "pipelines: !run {{command: '{command}'}}",
    "a tagged key": "? !!python/object/apply:os.system ['{command}']\n: 1",
    "a tag by a directive": "%TAG ! tag:yaml.org,2002:python/\n---\npipelines: !object/apply:os.system ['{command}']",
    "a set, a binary, a timestamp": "pipelines: !!set {{? a}}\nbanks: !!binary aGk=\n",
    "a billion laughs": BOMB.replace("{", "{{").replace("}", "}}"),
    "merges of merges": MERGES.replace("{", "{{").replace("}", "}}"),
    "an alias to what it stands in": "pipelines: &a [*a]",
    "lists a thousand deep": "pipelines: " + "[" * 1000 + "]" * 1000,
    "mappings a hundred thousand deep": "pipelines: " + "{{a: " * 100_000,
    "a number of ten thousand digits": "pipelines: " + "9" * 10_000,
    "a NUL": "pipelines: 'a\0b'",
    "another document": "---\ncalumma: 1\n",
}


@pytest.mark.parametrize("what", YAML)
def test_yaml_that_is_more_than_data_is_refused(what: str, here: Path, canary: Canary, refused: Refused) -> None:
    text = YAML[what].format(command=canary.command)
    (here / "registry.yaml").write_text(text if text.startswith("%") else HEAD + text)
    assert "registry.yaml" in refused("generate", "a red disc")
    assert "registry.yaml" in refused("registry", "show")
    assert validate(here / "registry.yaml")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "latin-1"])
def test_a_registry_of_another_encoding_is_refused(encoding: str, here: Path, refused: Refused) -> None:
    (here / "registry.yaml").write_bytes("calumma: 1 # ä".encode(encoding))
    assert "UTF-8" in refused("generate", "a red disc")


def test_a_dotted_path_is_never_imported(here: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch, canary: Canary) -> None:
    (here / "evil.py").write_text(f"import os\nos.system({canary.command!r})\n")
    monkeypatch.syspath_prepend(str(here))
    for use in (
        "evil",
        "evil:Run",
        "evil/run",
        "os.system",
        "os:system/x",
        "../evil/x",
        "evil.py/x",
        "calumma_plugins.exact.flat:Flat",
    ):
        (here / "registry.yaml").write_text(
            f"calumma: 1\ncomponents: {{retriever: {{x: {{use: {use!r}, target: 'evil:run', _target_: evil.run}}}}}}\n"
        )
        assert "registry.yaml" in refused("generate", "a red disc")
    assert "evil" not in sys.modules


LOCAL = "plugins: {local: [./evil.py]}\n"


@pytest.mark.parametrize("how", ["itself", "by an include", "by an include of an include", "by a link", "by an absolute path"])
def test_a_local_file_runs_with_the_flag_alone(how: str, here: Path, refused: Refused, canary: Canary) -> None:
    evil = here / "evil.py"
    evil.write_text(f"import os\nos.system({canary.command!r})\n")
    files = {"registry.yaml": HEAD + LOCAL}
    if how == "by an include":
        files = {"registry.yaml": HEAD + "include: [b.yaml]\n", "b.yaml": HEAD + LOCAL}
    elif how == "by an include of an include":
        files = {"registry.yaml": HEAD + "include: [b.yaml]\n", "b.yaml": HEAD + "include: [c.yaml]\n", "c.yaml": HEAD + LOCAL}
    elif how == "by a link":
        (here / "link.py").symlink_to(evil)
        files = {"registry.yaml": HEAD + "plugins: {local: [./link.py]}\n"}
    elif how == "by an absolute path":
        files = {"registry.yaml": HEAD + f"plugins: {{local: ['{evil}']}}\n"}
    for name, text in files.items():
        (here / name).write_text(text)
    for words in (("generate", "a red disc"), ("registry", "show"), ("caption", "x.png", "--registry", "registry.yaml")):
        said = refused(*words)
        assert "--allow-local" in said or "x.png" in said
    assert any("--allow-local" in problem.message for problem in validate(here / "registry.yaml"))
    assert not canary.path.exists()
    Catalog(local=[evil], allow_local=True).rows()  # the proof that the canary would have sung
    assert canary.path.exists()
    canary.path.unlink()


def test_a_plugin_that_lies_in_the_working_directory_is_not_found(here: Path, refused: Refused, canary: Canary) -> None:
    info = here / "evil-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[calumma.plugins.v1]\nevil = evil\n")
    (here / "evil.py").write_text(f"import os\nos.system({canary.command!r})\n")
    (here / "registry.yaml").write_text(HEAD + "plugins: {use: [evil]}\n")
    assert "evil" in refused("generate", "a red disc")


@pytest.fixture
def odd(tmp_path: Path) -> dict[str, Path]:
    """Things that are no ordinary files."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link-to-pipe").symlink_to(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "huge.yaml").write_bytes(b"#" * (2**20 + 1))
    return {
        "a pipe": tmp_path / "pipe",
        "a link to a pipe": tmp_path / "link-to-pipe",
        "a link to itself": tmp_path / "loop",
        "a device without end": Path("/dev/zero"),
        "a folder": tmp_path,
        "a file too large": tmp_path / "huge.yaml",
    }


ODD = ["a pipe", "a link to a pipe", "a link to itself", "a device without end", "a folder", "a file too large"]


@pytest.mark.parametrize("what", ODD)
def test_what_is_no_ordinary_file_is_neither_a_registry_nor_included(
    what: str, odd: dict[str, Path], here: Path, refused: Refused
) -> None:
    assert str(odd[what]) in refused("generate", "a red disc", "--registry", odd[what])
    (here / "registry.yaml").write_text(HEAD + f"include: ['{odd[what]}']\n")
    assert "registry.yaml" in refused("generate", "a red disc") or what == "a file too large"


def test_an_include_of_a_file_that_is_no_registry_shows_nothing_of_it(here: Path, tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "secrets").write_text("token-8f3a: correct-horse-battery\nmore: lines\n")
    (here / "link.yaml").symlink_to(tmp_path / "secrets")
    for name in ("../secrets", str(tmp_path / "secrets"), "link.yaml", "/etc/passwd", "a\\0b"):
        (here / "registry.yaml").write_text(HEAD + f'include: ["{name}"]\n')
        assert "correct-horse" not in refused("generate", "a red disc")


ASSETS = [
    "starter:../../x", "starter:../__init__.py", "starter:/etc/passwd", "starter:..\\..\\x", "starter:%2e%2e/%2e%2e/x",
    "starter:",
    "starter:a\0b", "starter:memory/../../../x", "starter:" + "a" * 5000, "hf:../../etc/passwd", "hf:org/repo/../../x",
    "hf:org/repo//etc/passwd", "hf:org/repo/a\\..\\b", "hf:org/repo/x@../../main", "hf:org/repo/a\0b", "hf:org/repo/./x",
    "hf:org/..",
    "../x", "a/../../x", "~nobody-of-that-name/x", "a\0b", "a" * 5000, "\ud800", "./../here/../../x",
]  # fmt: skip


@pytest.mark.parametrize("source", ASSETS, ids=lambda source: ascii(source[:30]))
def test_an_asset_leaves_no_root(source: str, here: Path) -> None:
    (here.parent / "x").write_text("outside")
    with pytest.raises(CalummaError) as error:
        Catalog().resolve_asset(source, here)
    assert error.value.message.endswith(".")


def test_a_link_inside_a_plugins_assets_may_not_lead_out(tmp_path: Path) -> None:
    from calumma.extension.assets import file_of_plugin

    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "out").symlink_to(tmp_path)
    (tmp_path / "assets" / "loop").symlink_to("loop")
    (tmp_path / "secret").write_text("x")
    for name in ("out/secret", "out", "loop"):
        with pytest.raises(CalummaError, match=r"leaves the plugin's folder|no name of a file|does not exist"):
            file_of_plugin(f"p:{name}", tmp_path / "assets")


def test_an_asset_of_a_hub_is_named_plainly() -> None:
    assert parse_hub("hf:org/repo/sub/file.bin@v1.0/x") == ("org/repo", "sub/file.bin", "v1.0/x")


@pytest.mark.parametrize("what", ["a pipe", "a link to a pipe", "a device without end", "a link to itself"])
def test_an_asset_is_an_ordinary_file(what: str, odd: dict[str, Path], tiny: Path, refused: Refused) -> None:
    draw = ("generate", "a red disc", "--registry", tiny)
    for option in ("decoder.weights", "image_tokenizer.weights", "embedder.weights", "text_tokenizer.file"):
        assert odd[what].name in refused(*draw, "--set", f"{option}={odd[what]}")


@pytest.mark.parametrize(
    "id", ["../x", "a/b/c", "exact/../../x", "exact/flat\x1b[31m", "exact/", "/exact", "exact/flat@9", "\u202e/x"]
)
def test_an_odd_component_id_names_nothing(id: str, tiny: Path, refused: Refused) -> None:
    said = refused("generate", "a red disc", "--registry", tiny, "--swap", f"retriever={id}")
    assert "\x1b" not in said
    assert "\u202e" not in said
