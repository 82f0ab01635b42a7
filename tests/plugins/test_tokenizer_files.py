"""tokenizers/bpe: what its file may hold, and what it must not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from calumma.errors import AssetError
from calumma_plugins.tokenizers.bpe import BPE, MAX_BYTES
from calumma_plugins.tokenizers.example import TEXTS, write_bpe
from calumma_plugins.tokenizers.options import BPEOptions

from .conftest import asset


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write_bpe(tmp_path / "tokenizer.json", TEXTS * 4)
    return tmp_path / "tokenizer.json"


def test_the_size_counts_every_entry_of_the_vocabulary(file: Path) -> None:
    vocabulary = json.loads(file.read_text())["model"]["vocab"]
    tokenizer = BPE(BPEOptions(file=asset(file)))
    assert tokenizer.size == len(vocabulary) == max(vocabulary.values()) + 1
    assert tokenizer.decode([tokenizer.size - 1]) == max(vocabulary, key=vocabulary.get).replace("Ġ", " ")


def test_merges_that_are_dropped_at_random_are_refused(file: Path) -> None:
    content = json.loads(file.read_text())
    content["model"]["dropout"] = 0.1
    file.write_text(json.dumps(content))
    with pytest.raises(AssetError, match="drops merges at random"):
        BPE(BPEOptions(file=asset(file))).warm_up()


def test_a_file_beyond_all_measure_is_not_read(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.truncate(2**28 + 1)  # a sparse file: it takes no room
    assert MAX_BYTES == 2**28
    with pytest.raises(AssetError, match="is not a readable tokenizer") as caught:
        BPE(BPEOptions(file=asset(file))).warm_up()
    assert str(caught.value.__cause__) == "too large"
