"""tokenizers/bpe: every string comes back, none is special, and a file that cannot promise that is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, normalizers

from calumma.errors import AssetError
from calumma_plugins.tokenizers.bpe import BPE
from calumma_plugins.tokenizers.example import TEXTS, write_bpe
from calumma_plugins.tokenizers.options import BPEOptions

from .conftest import asset


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bpe") / "tokenizer.json"
    write_bpe(path, TEXTS * 4)
    return path


def build(path: Path) -> BPE:
    return BPE(BPEOptions(file=asset(path)))


def changed(file: Path, folder: Path, **values: Any) -> Path:
    path = folder / "changed.json"
    path.write_text(json.dumps({**json.loads(file.read_text()), **values}))
    return path


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text())
def test_every_string_comes_back(file: Path, text: str) -> None:
    tokenizer = build(file) if not hasattr(test_every_string_comes_back, "one") else test_every_string_comes_back.one
    test_every_string_comes_back.one = tokenizer
    ids = tokenizer.encode(text)
    assert all(0 <= one < tokenizer.size for one in ids)
    assert tokenizer.decode(ids) == text


def test_a_prompt_with_a_sentinel_is_plain_text(file: Path) -> None:
    tokenizer = build(file)
    special = json.loads(file.read_text())["model"]["vocab"]["<mask:0>"]
    ids = tokenizer.encode("a <mask:0> apple")
    assert special not in ids
    assert tokenizer.decode(ids) == "a <mask:0> apple"
    assert tokenizer.encode("red apple") == Tokenizer.from_file(str(file)).encode("red apple").ids


def test_a_file_that_loses_bytes_is_refused(file: Path, tmp_path: Path) -> None:
    content = json.loads(file.read_text())
    vocabulary = {k: v for k, v in content["model"]["vocab"].items() if k != "Ã"}
    model = {
        **content["model"],
        "vocab": vocabulary,
        "merges": [m for m in content["model"]["merges"] if "Ã" not in "".join(m)],
    }
    with pytest.raises(AssetError, match="not byte-complete"):
        build(changed(file, tmp_path, model=model)).warm_up()


def test_a_file_that_changes_text_is_refused(file: Path, tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.save(str(tmp_path / "lower.json"))
    with pytest.raises(AssetError, match="not byte-complete: 'A'"):
        build(tmp_path / "lower.json").warm_up()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"model": {"type": "BPE"}}'])
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "t.json").write_text(content)
    with pytest.raises(AssetError, match="not a readable tokenizer"):
        build(tmp_path / "t.json").warm_up()
