"""extends, include, swap, set; and where each value came from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from calumma.errors import AssetError, RegistryError
from calumma.extension import Catalog
from calumma.registry import build, dump, parse_value, resolve, schema, shipped


def test_a_pipeline_extends_another_and_replaces_slots():
    default, without = resolve(shipped()), resolve(shipped(), "no-retrieval")
    assert (default.slots["retriever"].id, without.slots["retriever"].id) == ("hnswlib/hnsw", "none/none")
    assert without.slots["decoder"].options == default.slots["decoder"].options
    assert (without.bank_name, without.bank.value) == ("starter", "starter:memory")


def test_a_component_extends_another_and_each_option_says_its_line(write):
    file = write(
        "components:\n  retriever:\n    wide:\n      extends: hnsw\n      ef_search: 128\n"
        "pipelines:\n  p: {extends: default, retriever: wide}"
    )
    retriever = resolve(file, "p").slots["retriever"]
    assert retriever.options == {"M": 32, "ef_search": 128}
    line = next(i for i, text in enumerate(shipped().read_text().splitlines(), 1) if "hnswlib/hnsw, M" in text)
    origins = {name: one.origin for name, one in retriever.settings.items()}
    by_default = dict.fromkeys(("ef_construction", "build_threads", "search_threads"), "default")
    assert origins == {"M": f"{shipped()}:{line}", "ef_search": f"{file}:7", **by_default}
    assert retriever.settings["ef_construction"].value == 200


def test_swapping_a_retriever_drops_the_old_options():
    swapped = resolve(shipped(), swap={"retriever": "ivfpq"}).slots["retriever"]
    assert swapped.options == {"factory": "IVF256,PQ64", "nprobe": 16}
    by_id = resolve(shipped(), swap={"retriever": "hnswlib/hnsw"}).slots["retriever"]
    assert (by_id.options, by_id.settings["M"].origin) == ({}, "default")
    block = resolve(shipped(), swap={"retriever": {"use": "hnswlib/hnsw", "M": 8}}).slots["retriever"]
    assert (block.options, block.settings["M"].origin) == ({"M": 8}, "--swap retriever")


def test_sets_come_after_swaps():
    both = resolve(shipped(), swap={"retriever": "faiss"}, set={"retriever.nprobe": 4, "sampler.top_p": 0.8})
    assert both.slots["retriever"].options == {"factory": "Flat", "nprobe": 4}
    assert both.slots["sampler"].settings["top_p"].origin == "--set sampler.top_p"
    with pytest.raises(RegistryError, match=r"--set retriever.M: retriever.M: unknown option 'M'"):
        resolve(shipped(), swap={"retriever": "faiss"}, set={"retriever.M": 4})


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"set": {"sampler.topp": 1}}, "Did you mean 'top_p'?"),
        ({"set": {"samplr.top_p": 1}}, "there is no slot 'samplr'. Did you mean 'sampler'?"),
        ({"set": {"sampler": 1}}, "slot.option=value"),
        ({"set": {"bank.path": 1}}, "--bank"),
        ({"set": {"sampler.top_p": 7}}, "--set sampler.top_p: sampler.top_p: 7 is not valid"),
        ({"set": {"sampler.top_p.x": 7}}, "--set sampler.top_p"),
        ({"swap": {"retriver": "exact"}}, "Did you mean 'retriever'?"),
        ({"swap": {"retriever": "exat"}}, "Did you mean 'exact'?"),
        ({"swap": {"retriever": "exact/falt"}}, "Did you mean 'exact/flat'?"),
        ({"swap": {"bank": "startr"}}, "Did you mean 'starter'?"),
        ({"bank": "startr"}, "--bank: bank: there is no bank 'startr'"),
        ({"pipeline": "defalt"}, "Did you mean 'default'?"),
    ],
)
def test_a_wrong_flag_is_named_with_the_nearest(flags, message):
    with pytest.raises(RegistryError) as caught:
        resolve(shipped(), **flags)
    assert message in str(caught.value)


def test_several_wrong_flags_are_told_at_once():
    with pytest.raises(RegistryError) as caught:
        resolve(shipped(), set={"sampler.topp": 1, "retriever.MM": 2}, swap={"decodr": "x"})
    assert len(caught.value.problems) == 3


def test_a_set_reaches_into_a_part():
    sampler = resolve(shipped(), set={"sampler.rules": [{"use": "sampling/top-k", "k": 5}]}).slots["sampler"]
    assert [part.id for part in sampler.parts["rules"]] == ["sampling/top-k"]


def test_an_included_definition_is_overridden_by_the_including_file(write, tmp_path):
    write("components:\n  retriever:\n    exact: {use: exact/flat, block: 7}\n    mine: {use: exact/flat}", name="base.yaml")
    file = write(
        "calumma: 1\ninclude: [base.yaml]\ncomponents:\n  retriever:\n    mine: {use: exact/flat, block: 9}", bare=True
    )
    assert resolve(file, "exact").slots["retriever"].options == {"block": 7}
    assert resolve(file, swap={"retriever": "mine"}).slots["retriever"].options == {"block": 9}


def test_includes_that_come_round_are_an_error(write):
    write("calumma: 1\ninclude: [b.yaml]", name="a.yaml", bare=True)
    file = write("calumma: 1\ninclude: [a.yaml, missing.yaml]", name="b.yaml", bare=True)
    with pytest.raises(RegistryError) as caught:
        resolve(file)
    assert "includes this file in turn" in str(caught.value)
    assert "'missing.yaml' cannot be read" in str(caught.value)


def test_a_bank_is_a_name_a_block_or_a_path(write, tmp_path):
    assert resolve(shipped(), bank="held-out").bank.value == "starter:held-out"
    named = resolve(shipped(), bank=str(tmp_path))
    assert (named.bank.value, named.bank.origin, named.bank_path()) == (str(tmp_path), "--bank", tmp_path)
    (tmp_path / "here").mkdir()
    file = write("pipelines:\n  p: {extends: default, bank: {path: here}}\n  n: {extends: no-retrieval, bank: null}")
    assert resolve(file, "p").bank_path() == tmp_path / "here"
    assert resolve(file, "n").bank is None


def test_numbers_are_read_as_a_person_means_them():
    values = {
        text: parse_value(text, "--set x").plain() for text in ["1e-4", "1E5", "0.8", "64", "yes", "null", "2024-01-01", "1:30"]
    }
    assert values == {
        "1e-4": 1e-4, "1E5": 1e5, "0.8": 0.8, "64": 64, "yes": True, "null": None, "2024-01-01": "2024-01-01", "1:30": "1:30",
    }  # fmt: skip


def test_merge_keys_and_aliases_work(write):
    file = write(
        "components:\n  retriever:\n    a: &a {use: hnswlib/hnsw, M: 8}\n    b: {<<: *a, ef_search: 9}\n"
        "pipelines:\n  p: {extends: default, retriever: b}"
    )
    assert resolve(file, "p").slots["retriever"].options == {"M": 8, "ef_search": 9}


def test_paths_are_beside_the_yaml_but_from_the_working_directory_under_a_flag(write, tmp_path, monkeypatch):
    (tmp_path / "yaml").mkdir()
    (tmp_path / "cwd").mkdir()
    for folder in ("yaml", "cwd"):
        (tmp_path / folder / "bpe.json").write_bytes(Catalog().resolve_asset("starter:bpe.json").read_bytes())
    file = write("components:\n  text_tokenizer:\n    t: {use: tokenizers/bpe, file: bpe.json}", name="yaml/mine.yaml")
    monkeypatch.chdir(tmp_path / "cwd")
    beside = build(resolve(file, swap={"text_tokenizer": "t"}))["text_tokenizer"]
    assert dict(beside.assets())["file"] == tmp_path / "yaml" / "bpe.json"
    flagged = build(resolve(file, set={"text_tokenizer.file": "bpe.json"}))["text_tokenizer"]
    assert dict(flagged.assets())["file"] == tmp_path / "cwd" / "bpe.json"
    with pytest.raises(AssetError, match="leaves"):
        build(
            resolve(
                write("components:\n  text_tokenizer:\n    t: {use: tokenizers/bpe, file: ../x}"), swap={"text_tokenizer": "t"}
            )
        )


def test_a_missing_asset_is_told_with_the_line_that_asked_for_it(write):
    file = write("components:\n  text_tokenizer:\n    t: {use: tokenizers/bpe, file: nothing.json}")
    with pytest.raises(AssetError, match=rf"{file}:5: text_tokenizer: .*'nothing.json' does not exist"):
        build(resolve(file, swap={"text_tokenizer": "t"}))


def test_a_pipeline_is_built_with_parts_and_ids(write):
    built = build(resolve(shipped(), swap={"retriever": "exact"}, set={"sampler.rules": ["sampling/top-k"]}))
    assert built["retriever"].id == "exact/flat"
    assert built["sampler"].options.rules[0].built.id == "sampling/top-k"


def test_a_local_plugin_of_a_registry_runs_only_when_allowed(write, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from calumma.extension import ComponentSpec, hookimpl\nfrom calumma.interfaces import Options, Rule\n"
        "class Twice(Rule):\n    def __call__(self, logits, rows, positions): return logits['conditional'] * 2\n"
        "@hookimpl\ndef calumma_components():\n"
        "    yield ComponentSpec('rule', 'mine/twice', 'Twice.', 'mine:Twice', 'calumma.interfaces:Options')\n"
    )
    file = write("plugins: {local: [./mine.py]}\ncomponents:\n  sampler:\n    s: {use: sampling/nucleus, rules: [mine/twice]}")
    with pytest.raises(RegistryError, match=r"mine\.py is not run unasked.*--allow-local"):
        resolve(file)
    resolved = resolve(file, swap={"sampler": "s"}, allow_local=True)
    assert build(resolved)["sampler"].options.rules[0].built.id == "mine/twice"


def test_a_wiring_problem_points_at_the_line_that_chose_the_part(write):
    file = write("pipelines:\n  p: {extends: default, retriever: {use: hnswlib/hnsw, M: 8}}")
    resolved = resolve(file, "p", set={"sampler.top_p": 0.5})
    assert str(resolved.problem("retriever", "does not fit", "M")).startswith(f"{file}:4:")
    assert str(resolved.problem("sampler", "is odd", "top_p")) == "--set sampler.top_p: sampler.top_p: is odd"
    assert resolved.error([resolved.problem("bank", "x"), resolved.problem("decoder", "y")]).problems[1].message == "y"


def test_the_dump_is_json_with_origins():
    facts = json.loads(json.dumps(dump(resolve(shipped(), set={"sampler.top_p": 0.5}))))
    assert facts["slots"]["sampler"]["options"]["top_p"] == {"value": 0.5, "origin": "--set sampler.top_p"}
    assert facts["bank"]["path"] == "starter:memory"


def test_the_schema_takes_the_shipped_registry_and_refuses_a_broken_one():
    jsonschema = pytest.importorskip("jsonschema")
    import yaml

    validator = jsonschema.Draft202012Validator(schema(Catalog()))
    jsonschema.Draft202012Validator.check_schema(validator.schema)
    registry = yaml.safe_load(Path(shipped()).read_text())
    assert list(validator.iter_errors(registry)) == []
    for path, value in [
        (("components", "retriever", "hnsw", "M"), "many"),
        (("components", "retriever", "hnsw", "MM"), 3),
        (("components", "retriever", "hnsw", "use"), "hnswlib/hnws"),
        (("components", "retreiver"), {}),
        (("pipelines", "default", "retriver"), "hnsw"),
        (("calumma",), 2),
        (("plugins",), {"usee": []}),
    ]:
        broken = json.loads(json.dumps(registry))
        place = broken
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value
        assert list(validator.iter_errors(broken)), path
