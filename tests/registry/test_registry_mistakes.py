"""Every mistake at once, each at its true line and column, with the nearest valid word."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from calumma.errors import RegistryError
from calumma.registry import resolve, shipped, validate


def found(file: Path) -> list[tuple[int, str]]:
    return [(problem.line, problem.message) for problem in validate(file)]


def test_the_shipped_registry_has_no_mistakes():
    assert validate(shipped()) == []


def test_six_different_mistakes_are_told_in_one_answer(write):
    file = write(
        """\
components:
  retriever:
    graph:
      use: hnswlib/hnsw
      ef_serach: 64
    other: {use: hnswlib/hnws}
  sampler:
    mine: {use: sampling/nucleus, top_p: 1.5}
  retreiver:
    a: {use: exact/flat}
pipelines:
  p:
    extends: defualt
  q: {extends: default, retriever: grahp}
"""
    )
    with pytest.raises(RegistryError) as caught:
        resolve(file, "q")
    told = {problem.line: problem for problem in caught.value.problems}
    expected = {
        7: ("components.retriever.graph.ef_serach", "Did you mean 'ef_search'?", 7),
        8: ("components.retriever.other", "Did you mean 'hnswlib/hnsw'?", 18),
        10: ("components.sampler.mine.top_p", "1.5 is not valid", 42),
        11: ("components.retreiver", "Did you mean 'retriever'?", 3),
        15: ("pipelines.p.extends", "Did you mean 'default'?", 14),
        16: ("pipelines.q.retriever", "Did you mean 'graph'?", 36),
    }
    assert sorted(told) == sorted(expected)
    for line, (path, hint, column) in expected.items():
        assert (told[line].path, told[line].column, told[line].file) == (path, column, str(file))
        assert hint in told[line].message
        assert f"{file}:{line}:{column}: {path}: " in str(caught.value)
    assert validate(file) == caught.value.problems


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("compnents: {}", 3, "unknown section 'compnents'. Did you mean 'components'?"),
        ("plugins: {usee: []}", 3, "unknown key 'usee'. Did you mean 'use'?"),
        ("plugins: {use: [exat]}", 3, "Did you mean 'exact'?"),
        ("plugins: {use: exact}", 3, "should be a list"),
        ("plugins: {local: [mine.py]}", 3, "--allow-local"),
        ("banks:\n  b: {pth: x}", 4, "Did you mean 'path'?"),
        ("banks: {b: {}}", 3, "the path of the bank is missing"),
        ("banks: [b]", 3, "should be a mapping"),
        ("components:\n  retriever:\n    a: exact/flat", 5, "should be a mapping, not 'exact/flat'"),
        ("components:\n  retriever:\n    a/b: {use: exact/flat}", 5, "is no name"),
        ("components:\n  retriever:\n    a: {M: 3}", 5, "`use: plugin/component` is missing"),
        ("components:\n  retriever:\n    a: {use: exact}", 5, "Did you mean 'exact/flat'?"),
        ("components:\n  retriever:\n    a: {extends: hnsv}", 5, "Did you mean 'hnsw'?"),
        ("components:\n  retriever:\n    a: {extends: hnsw, use: exact/flat}", 5, "is not what 'hnsw' uses"),
        ("components:\n  retriever:\n    a: {extends: b}\n    b: {extends: a}", 5, "extends itself"),
        (
            "components:\n  sampler:\n    s: {use: sampling/nucleus, rules: [{use: sampling/top-k, kk: 3}]}",
            5,
            "unknown option 'kk'",
        ),
        ("components:\n  sampler:\n    s: {use: sampling/nucleus, rules: [exact/flat]}", 5, "of kind 'retriever', not 'rule'"),
        ("components:\n  text_tokenizer:\n    t: {use: tokenizers/bpe}", 5, "the option 'file' is missing"),
        ("components:\n  text_tokenizer:\n    t:\n      use: tokenizers/bpe\n      fil: x", 7, "Did you mean 'file'?"),
        ("components:\n  retriever:\n    a: {use: nobody/flat}", 5, "pip install calumma-nobody"),
        ("pipelines: {p: {extends: default, retriver: hnsw}}", 3, "unknown slot 'retriver'. Did you mean 'retriever'?"),
        ("pipelines: {p: {extends: default, bank: startr}}", 3, "Did you mean 'starter'?"),
        ("pipelines: {p: {extends: default, retriever: 3}}", 3, "3 is no name of a retriever"),
        ("pipelines: {p: {bank: starter}}", 3, "the pipeline has no decoder"),
        ("pipelines:\n  a: {extends: b}\n  b: {extends: a}", 5, "it extends itself: a -> b -> a"),
        ("components: {retriever: {a: {use: exact/flat}, a: {use: exact/flat}}}", 3, "the key 'a' was already given in line 3"),
        ("components: {retriever: {a: {use: hnswlib/hnsw, M: !!python/name:os.system x}}}", 3, "is not allowed"),
        ("components: {retriever: {a: {use: hnswlib/hnsw, M: !mine 3}}}", 3, "is not allowed"),
        ("a: *nothing", 3, "names nothing"),
        ("a: &a [*a]", 3, "names nothing"),
        ("a: [", 4, "is not YAML"),
        ("\tplugins: {}", 3, "is not YAML"),
        ("---\nsecond: 1", 3, "second YAML document"),
        ("? [a, b]\n: c", 3, "a key that is no word"),
        ("x: " + "9" * 5000, 3, "a number too long"),
        ("x: !!int 0x_", 3, "is no int"),
    ],
)
def test_a_mistake_is_told_at_its_line(write, text, line, message):
    told = found(write(text))
    assert any(at == line and message in said for at, said in told), told


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("# only a comment", "is empty"),
        ("[1, 2]", "a registry is a mapping"),
        ("word", "a registry is a mapping"),
        ("components: {}", "Write `calumma: 1`"),
        ("calumma: 2", "version 2 is unknown"),
        ("calumma: true", "version True is unknown"),
    ],
)
def test_a_file_that_is_no_registry_is_told_so(write, text, message):
    assert message in str(validate(write(text, bare=True))[0])


def test_a_file_that_is_missing_or_a_folder_or_not_utf8_is_one_sentence(tmp_path):
    assert "No such file" in str(validate(tmp_path / "nothing.yaml")[0])
    assert "is a folder" in str(validate(tmp_path)[0])
    file = tmp_path / "latin.yaml"
    file.write_bytes("calumma: 1\nbanks: {caf\xe9: {path: x}}".encode("latin-1"))
    [problem] = validate(file)
    assert (problem.line, problem.column) == (2, 12)
    assert "not UTF-8: byte 0xe9" in problem.message


HOSTILE = {
    "aliases": "a: &a [1,1,1,1,1,1,1,1,1,1]\n"
    + "".join(f"b{i}: &b{i} [{','.join([f'*b{i - 1}' if i else '*a'] * 10)}]\n" for i in range(12)),
    "depth": "a: " + "[" * 100_000,
    "mappings": "\n".join(" " * i + "a:" for i in range(900)),
    "keys": "calumma: 1\n" + "".join(f"k{i}: 1\n" for i in range(60_000)),
    "mistakes": "calumma: 1\ncomponents:\n  retriever:\n" + "".join(f"    r{i}: {{use: x/y{i}}}\n" for i in range(9_000)),
    "options": "calumma: 1\ncomponents:\n  retriever:\n    r: {use: exact/flat, "
    + ", ".join(f"o{i}: 1" for i in range(20_000))
    + "}",
    "names": "calumma: 1\npipelines:\n" + "".join(f"  p{i}: {{retriever: q{i}}}\n" for i in range(9_000)),
    "chain": "calumma: 1\ncomponents:\n  retriever:\n    r0: {use: exact/flat}\n"
    + "".join(f"    r{i + 1}: {{extends: r{i}}}\n" for i in range(9_000)),
    "parts": "calumma: 1\ncomponents:\n  sampler:\n"
    + "".join(f"    s{i}: {{use: sampling/nucleus, rules: [s{i + 1}, s{i + 1}]}}\n" for i in range(64)),
    "bytes": "\0\x01\x02",
    "list": "calumma: 1\nplugins: {block: [" + ", ".join(["[]"] * 20_000) + "]}",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_in_bounded_time(write, name):
    started = time.monotonic()
    assert validate(write(HOSTILE[name], bare=True))
    assert time.monotonic() - started < 10


def test_fifty_megabytes_are_not_even_read(tmp_path):
    file = tmp_path / "large.yaml"
    with file.open("wb") as stream:
        stream.write(b"calumma: 1\n")
        stream.truncate(50 << 20)
    started = time.monotonic()
    [problem] = validate(file)
    assert "larger than 1024 KiB" in problem.message
    assert time.monotonic() - started < 1


def test_a_plugin_that_is_absent_matters_only_where_it_is_used(monkeypatch):
    monkeypatch.setenv("CALUMMA_BLOCK", "faiss")
    assert resolve(shipped(), "default").slots["retriever"].id == "hnswlib/hnsw"
    with pytest.raises(RegistryError, match="blocked"):
        resolve(shipped(), "faiss")
    assert all("blocked" in problem.message for problem in validate(shipped()))
