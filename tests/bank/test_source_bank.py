"""A bank as a source of another one: its documents, as they were in one version."""

from __future__ import annotations

from pathlib import Path

import lance
import numpy as np
import pytest

from calumma.bank import Bank, Item, build
from calumma.bank.sources import BankSource
from calumma.errors import BankError

from .conftest import words
from .sources import RED, items


def test_documents_come_as_they_are_without_their_vectors(bank: Bank, folder: Path) -> None:
    source = BankSource(bank.path)
    every = {one.id: one for one in items(source)}
    assert list(every) == bank.ids(bank.keys.tolist())
    assert every["red-square"] == Item(
        "red-square", "a red square", (folder / "red-square.webp").read_bytes(), "red-square", {"style": "plain", "n": 0}
    )
    assert not source.embedded
    assert all(one.text_vector is None and one.image_vector is None for one in every.values())
    assert source.count() == 12
    assert source.format == f"The bank shapes.bank, version {bank.version}, 12 documents."


def test_another_embedder_embeds_them_again(bank: Bank, tmp_path: Path) -> None:
    build(BankSource(bank.path), tmp_path / "again", words("other"))
    again = Bank.open(tmp_path / "again")
    assert again.ids(again.keys.tolist()) == bank.ids(bank.keys.tolist())
    assert again.fingerprint != bank.fingerprint
    first, second = (one.documents(one.keys.tolist()) for one in (bank, again))
    for one, other in zip(first, second, strict=True):
        assert (one.text, one.metadata) == (other.text, other.metadata)
        np.testing.assert_array_equal(one.parts[1].pixels, other.parts[1].pixels)
    assert not np.allclose(again.vectors(again.keys, "text"), bank.vectors(bank.keys, "text"))


def test_texts_and_pictures_alone_stay_alone(tmp_path: Path) -> None:
    given = [Item("a", "words", id="a"), Item("b", "", RED, id="b")]
    build(given, tmp_path / "bank", words())
    assert [(one.text, one.image) for one in items(BankSource(tmp_path / "bank"))] == [("words", None), ("", RED)]


def test_a_source_stays_at_the_version_that_it_was_opened_at(bank: Bank) -> None:
    before = BankSource(bank.path)
    every = items(before)
    lance.dataset(str(bank.path)).delete("id = 'red-square'")
    assert items(before) == every
    assert [one.id for one in items(BankSource(bank.path))] == [one.id for one in every if one.id != "red-square"]
    assert items(BankSource(bank.path, version=bank.version)) == every


def test_shards_are_the_fragments_of_the_data_set(bank: Bank) -> None:
    table = lance.dataset(str(bank.path)).to_table()
    lance.write_dataset(table, str(bank.path), mode="overwrite", max_rows_per_file=5)
    source = BankSource(bank.path)
    assert [shard.count() for shard in source.shards()] == [5, 5, 2]
    assert len(items(source)) == 12


def test_what_is_no_bank_is_refused(tmp_path: Path, bank: Bank) -> None:
    with pytest.raises(BankError, match="no bank"):
        BankSource(tmp_path / "gone")
    with pytest.raises(BankError, match="holds no version 99"):
        BankSource(bank.path, version=99)
    lance.write_dataset(lance.dataset(str(bank.path)).to_table(columns=["id"]).replace_schema_metadata(None), tmp_path / "x")
    with pytest.raises(BankError, match="not a bank"):
        BankSource(tmp_path / "x")
