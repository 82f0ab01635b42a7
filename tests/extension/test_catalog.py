"""The catalog over real throw-away distributions: every way in which a plugin can be wrong, and that the others go on."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from calumma.errors import AssetError, CalummaError, ComponentError
from calumma.extension import Catalog, ComponentRow
from calumma.interfaces import Retriever

HOOK = "from calumma.extension import hookimpl\n@hookimpl\n"


def rows_of(plugin: str, catalog: Catalog | None = None) -> list[ComponentRow]:
    return [row for row in (catalog or Catalog()).rows() if row.plugin == plugin]


def test_an_installed_plugin_is_listed_with_its_distribution_and_version(install):
    install("mine")
    assert rows_of("mine") == [ComponentRow("mine/first", "retriever", "mine", "calumma-mine", "1.2", "available")]


def test_discovery_imports_nothing(install):
    install("mine", "raise SystemExit('imported')")
    assert [plugin.name for plugin in Catalog().plugins() if plugin.distribution == "calumma-mine"] == ["mine"]
    assert "calumma_mine_plugin" not in sys.modules


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("import no_such_library", "No module named 'no_such_library'"),
        ("raise BaseException", "BaseException"),
        ("def broken(:", "SyntaxError"),
        (
            HOOK + "def calumma_components():\n    yield 1",
            "it offers 1, which is no ComponentSpec",
        ),
        (
            HOOK + "def calumma_components(): return 7",
            "'int' object is not iterable",
        ),
        (
            HOOK + "def calumma_components():\n    yield from ()\n    raise OSError('late')",
            "OSError: late",
        ),
        (
            "from calumma.extension import *\nfrom calumma.extension import hookimpl\n@hookimpl\ndef calumma_components():\n"
            "    yield ComponentSpec('retriever', 'other/first', '', 'a:B', 'a:C')",
            "'other/first' is not named 'mine/NAME'",
        ),
        (
            HOOK + "def calumma_componets(): return []",
            "calumma_componets is not a hook of calumma. Did you mean 'calumma_components'?",
        ),
        ("def calumma_componets(): return []", "Did you mean 'calumma_components'?"),
        ("def calumma_components(): return []", "calumma_components lacks the decorator @hookimpl"),
        (
            HOOK + "def calumma_pipeline_assembled(pipline): ...",
            "pipline",
        ),
    ],
)
def test_a_broken_plugin_is_named_with_its_reason_and_the_others_work(install, code, reason):
    install("mine", code)
    catalog = Catalog()
    [row] = rows_of("mine", catalog)
    assert (row.id, row.kind, row.status) == (None, None, "broken")
    assert reason in row.reason
    assert rows_of("exact", catalog)[0].status == "available"
    with pytest.raises(ComponentError, match="broken"):
        catalog.spec("retriever", "mine/first")


def test_what_a_plugin_prints_on_import_goes_to_stderr(install, capsys):
    install("mine", "print('hello')")
    Catalog().rows()
    assert capsys.readouterr() == ("", "hello\n")


def test_two_distributions_with_one_name_conflict_and_are_fatal_only_when_used(install):
    install("mine")
    install("mine", distribution="calumma-other")
    catalog = Catalog()
    rows = rows_of("mine", catalog)
    assert [row.status for row in rows] == ["conflict", "conflict"]
    assert all("calumma-mine" in row.reason and "calumma-other" in row.reason for row in rows)
    catalog.build("retriever", "exact/flat")
    with pytest.raises(ComponentError, match="calumma-mine and calumma-other"):
        catalog.build("retriever", "mine/first")


def test_a_plugin_for_another_version_of_the_interface_is_incompatible(install):
    install("mine", group="calumma.plugins.v2")
    [row] = rows_of("mine")
    assert row.status == "incompatible"
    assert "calumma.plugins.v2" in row.reason
    with pytest.raises(ComponentError, match="incompatible"):
        Catalog().spec("retriever", "mine/first")


def test_a_missing_library_is_told_without_importing_and_with_what_to_install(install):
    install("mine", more=", requires=('no_such_library.part',), install='calumma-mine[all]'")
    catalog = Catalog()
    [row] = rows_of("mine", catalog)
    assert row.status == "missing-extra"
    assert "pip install 'calumma-mine[all]'" in row.reason
    assert catalog.options_class(catalog.spec("retriever", "mine/first")).__name__ == "FirstOptions"
    with pytest.raises(ComponentError) as caught:
        catalog.build("retriever", "mine/first")
    assert "pip install 'calumma-mine[all]'" in caught.value.fix


def test_plugins_are_blocked_by_argument_and_by_environment(install, monkeypatch):
    install("mine")
    assert rows_of("mine", Catalog(block=["mine"]))[0].status == "blocked"
    monkeypatch.setenv("CALUMMA_BLOCK", " faiss , mine")
    catalog = Catalog()
    assert {row.plugin for row in catalog.rows() if row.status == "blocked"} == {"faiss", "mine"}
    with pytest.raises(ComponentError, match="blocked"):
        catalog.spec("retriever", "mine/first")


def test_blocking_later_takes_a_loaded_plugin_out_again(install):
    install("mine")
    catalog = Catalog()
    catalog.spec("retriever", "mine/first")
    catalog.extend(block=["mine"])
    with pytest.raises(ComponentError, match="blocked"):
        catalog.spec("retriever", "mine/first")


LOCAL = """
from calumma.extension import ComponentSpec, hookimpl
from calumma.interfaces import Options, Rule

class DoublesOptions(Options): ...

class Doubles(Rule):
    def __call__(self, logits, rows, positions):
        return logits["conditional"] * 2

@hookimpl
def calumma_components():
    yield ComponentSpec("rule", "json/doubles", "Doubles.", "json:Doubles", "json:DoublesOptions")
"""


def test_a_local_file_runs_only_when_it_is_allowed_and_hides_no_module(tmp_path):
    file = tmp_path / "json.py"
    file.write_text(LOCAL)
    with pytest.raises(CalummaError, match=str(file)) as caught:
        Catalog(local=[file])
    assert "--allow-local" in caught.value.fix
    catalog = Catalog(local=[file], allow_local=True)
    assert catalog.build("rule", "json/doubles").id == "json/doubles"
    assert hasattr(sys.modules["json"], "dumps")
    assert rows_of("json", catalog)[0].distribution == "local file"
    catalog.extend(local=[file])
    assert len(rows_of("json", catalog)) == 1


def test_an_unknown_component_names_the_nearest_and_what_installs_it():
    catalog = Catalog()
    with pytest.raises(ComponentError) as caught:
        catalog.spec("retriever", "hnswlib/hnws")
    assert "Did you mean 'hnswlib/hnsw'?" in caught.value.fix
    with pytest.raises(ComponentError) as caught:
        catalog.spec("retriever", "nobody/flat")
    assert "pip install calumma-nobody" in caught.value.fix
    with pytest.raises(ComponentError, match="is a component of kind 'retriever', not 'sampler'"):
        catalog.spec("sampler", "exact/flat")
    with pytest.raises(ComponentError, match="no kind") as caught:
        catalog.spec("retriver", "exact/flat")
    assert "'retriever'" in caught.value.fix


def test_a_component_is_built_with_validated_options_and_its_id():
    retriever = Catalog().build("retriever", "hnswlib/hnsw", {"M": 16})
    assert isinstance(retriever, Retriever)
    assert (retriever.id, retriever.options.M) == ("hnswlib/hnsw", 16)
    with pytest.raises(ComponentError) as caught:
        Catalog().build("retriever", "hnswlib/hnsw", {"ef_serach": 1, "M": 0})
    assert "Did you mean 'ef_search'?" in str(caught.value)
    assert "M: 0 is not valid" in str(caught.value)


def test_a_class_that_is_not_of_its_kind_is_refused(install):
    file = install("mine")
    file.write_text(file.read_text().replace('"retriever"', '"embedder"'))
    with pytest.raises(ComponentError, match="is no Embedder"):
        Catalog().build("embedder", "mine/first")


def test_a_class_that_lacks_a_method_of_its_interface_is_refused(install):
    file = install("mine")
    part = file.with_name("calumma_mine_plugin_part.py")
    part.write_text(part.read_text().replace("def search", "def seek"))
    with pytest.raises(ComponentError, match="lacks search"):
        Catalog().build("retriever", "mine/first")


def test_parts_are_built_before_their_owner_and_checked_against_their_kind():
    catalog = Catalog()
    sampler = catalog.build("sampler", "sampling/nucleus", {"rules": ["sampling/top-k", {"use": "sampling/top-p", "p": 0.5}]})
    assert [part.built.id for part in sampler.options.rules] == ["sampling/top-k", "sampling/top-p"]
    with pytest.raises(ComponentError, match="of kind 'retriever', not 'rule'"):
        catalog.build("sampler", "sampling/nucleus", {"rules": ["exact/flat"]})
    with pytest.raises(ComponentError, match="takes a rule"):
        catalog.build("sampler", "sampling/nucleus", {"rules": [catalog.build("retriever", "exact/flat")]})


def test_a_plugin_adds_a_kind_and_a_component_of_it(tmp_path):
    file = tmp_path / "marks.py"
    file.write_text(
        "from calumma.extension import ComponentSpec, KindSpec, hookimpl\nfrom calumma.interfaces import Component, Options\n"
        "class Watermark(Component): ...\n"
        "@hookimpl\ndef calumma_kinds():\n    yield KindSpec('watermark', 'Marks.', 'marks:Watermark')\n"
        "@hookimpl\ndef calumma_components():\n"
        "    yield ComponentSpec('watermark', 'marks/plain', 'Plain.', 'marks:Watermark', 'calumma.interfaces:Options')\n"
    )
    catalog = Catalog(local=[file], allow_local=True)
    assert "watermark" in catalog.kinds()
    assert catalog.build("watermark", "marks/plain").id == "marks/plain"


def test_assets_lie_beside_the_yaml_or_beside_the_plugin(install, tmp_path):
    file = install("mine")
    (file.parent / "assets" / "deep").mkdir(parents=True)
    (file.parent / "assets" / "deep" / "w.bin").write_text("w")
    (file.parent / "secret").write_text("s")
    (tmp_path / "beside").write_text("b")
    catalog = Catalog()
    assert catalog.resolve_asset("mine:deep/w.bin") == (file.parent / "assets/deep/w.bin").resolve()
    assert "calumma_mine_plugin" not in sys.modules
    assert catalog.resolve_asset("beside", tmp_path) == tmp_path / "beside"
    assert catalog.resolve_asset(str(tmp_path / "beside"), file.parent) == tmp_path / "beside"
    built = catalog.build("retriever", "mine/first", {"file": "beside"}, base=tmp_path)
    assert dict(built.assets())["file"] == tmp_path / "beside"
    for source, message in [
        ("mine:../secret", "leaves"),
        (f"mine:{tmp_path}/beside", "leaves"),
        ("mine:nothing", "does not exist"),
        ("unknown:file", "not installed"),
        ("../beside", "leaves"),
        ("nothing", "does not exist"),
        ("hf:nonsense", "hf:org/repo/file"),
        ("hf:org/repo/../../x", "hf:org/repo/file"),
    ]:
        with pytest.raises(AssetError, match=message):
            catalog.resolve_asset(source, file.parent)


def test_a_file_of_the_hub_comes_from_its_cache_when_offline(tmp_path, monkeypatch):
    hub = pytest.importorskip("huggingface_hub")
    folder = tmp_path / "models--org--repo"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("a" * 40)
    (folder / "snapshots" / ("a" * 40)).mkdir(parents=True)
    (folder / "snapshots" / ("a" * 40) / "w.bin").write_text("w")
    monkeypatch.setattr(hub, "hf_hub_download", lambda *a, **k: _download(tmp_path, *a, **k))
    assert Catalog().resolve_asset("hf:org/repo/w.bin@main").read_text() == "w"
    with pytest.raises(AssetError, match="cannot be fetched"):
        Catalog().resolve_asset("hf:org/repo/other.bin@main")


def test_a_repository_of_the_hub_is_a_folder_without_its_pickles(tmp_path, monkeypatch):
    import huggingface_hub as hub

    asked: list[object] = []
    monkeypatch.setattr(hub, "snapshot_download", lambda *a, **k: asked.extend([a, k]) or str(tmp_path))
    assert Catalog().resolve_asset("hf:org/repo@v1") == tmp_path
    assert asked == [("org/repo",), {"revision": "v1", "allow_patterns": ["*.json", "*.safetensors"]}]


def _download(cache: Path, *args: str, **more: str | None) -> str:
    from huggingface_hub.file_download import hf_hub_download

    return str(hf_hub_download(*args, cache_dir=cache, local_files_only=True, **more))


def watcher(seen: list[str], fails: bool = False) -> object:
    from calumma.extension import hookimpl

    class Observer:
        @hookimpl
        def calumma_generation_started(self, task, n):
            seen.append(f"{task} {n}")
            print("to be seen on stderr")
            if fails:
                raise SystemExit("enough")

    return Observer()


def test_observers_are_called_and_one_that_raises_is_reported_once_and_dropped(capsys):
    catalog, calm, failing = Catalog(), [], []
    catalog.add("calm", watcher(calm))
    catalog.add("failing", watcher(failing, fails=True))
    for n in (1, 2):
        catalog.notify("calumma_generation_started", task="generate", document=None, n=n)
    out, err = capsys.readouterr()
    assert (calm, failing, out) == (["generate 1", "generate 2"], ["generate 1"], "")
    assert err.count("failed in calumma_generation_started and is dropped: SystemExit: enough") == 1


def test_only_plugins_that_are_used_or_needed_observe(install):
    code = "seen = []\n" + HOOK + "def calumma_pipeline_assembled(pipeline): seen.append(pipeline)"
    install("mine", code)
    catalog = Catalog()
    catalog.rows()
    catalog.notify("calumma_pipeline_assembled", pipeline=1)
    assert sys.modules["calumma_mine_plugin"].seen == []
    catalog.extend(use=["mine"])
    catalog.extend(use=["mine"])
    catalog.notify("calumma_pipeline_assembled", pipeline=2)
    assert sys.modules["calumma_mine_plugin"].seen == [2]
    with pytest.raises(ComponentError, match="no plugin 'nobody'"):
        Catalog(use=["nobody"])
