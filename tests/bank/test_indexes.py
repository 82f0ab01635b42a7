"""Indexes are kept, found again, never stale, and built again when damaged."""

from __future__ import annotations

import logging
from pathlib import Path

import lance
import numpy as np
import pytest

from calumma.bank import Bank
from calumma.interfaces import Query, Retriever
from calumma_plugins.exact.flat import Flat
from calumma_plugins.exact.options import FlatOptions
from calumma_plugins.faiss.index import FaissIndex
from calumma_plugins.faiss.options import FaissOptions
from calumma_plugins.hnswlib.hnsw import HNSW
from calumma_plugins.hnswlib.options import HNSWOptions

from .conftest import words


def hnsw(**options: int) -> HNSW:
    retriever = HNSW(HNSWOptions(**options))
    retriever.id = "hnswlib/hnsw"
    return retriever


def found(bank: Bank, retriever: Retriever) -> list[int]:
    (hits,) = bank.retrieve([Query(vector=words().embed_texts(["a red disc"])[0])], 5, retriever)
    return hits.keys[0].tolist()


def kept(bank: Bank) -> list[Path]:
    return sorted((bank.path / "_indexes").iterdir())


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which indexes were built, rather than opened."""
    built: list[str] = []
    for kind in (HNSW, Flat, FaissIndex):
        add = kind.add
        monkeypatch.setattr(kind, "add", lambda self, entries, add=add: (built.append(self.id), add(self, entries))[1])
    return built


def test_an_index_is_built_once_and_opened_from_then_on(bank: Bank, builds: list[str]) -> None:
    first = found(bank, hnsw())
    assert found(bank, hnsw()) == first
    assert found(Bank.open(bank.path), hnsw()) == first
    assert builds == ["hnswlib/hnsw"]
    (place,) = kept(bank)
    assert place.name.startswith("hnswlib-hnsw-")
    assert place.name.endswith("-v1")


def test_options_of_searching_share_an_index_and_options_of_building_do_not(bank: Bank, builds: list[str]) -> None:
    assert bank.index(hnsw(ef_search=10)).options.ef_search == 10
    assert bank.index(hnsw(ef_search=20)).options.ef_search == 20
    assert len(builds) == 1
    bank.index(hnsw(M=8))
    assert len(builds) == len(kept(bank)) == 2


def test_a_changed_bank_gets_a_new_index(bank: Bank, builds: list[str]) -> None:
    best = found(bank, hnsw())[0]
    lance.dataset(str(bank.path)).delete(f"key = {best}")
    assert best not in found(Bank.open(bank.path), hnsw())
    assert found(Bank.open(bank.path, version=1), hnsw())[0] == best
    assert len(builds) == 2


@pytest.mark.parametrize("kind", ["flat", "faiss", "hnsw"])
@pytest.mark.parametrize("damage", ["cut", "flipped", "gone", "manifest"])
def test_a_damaged_index_is_built_again_with_a_notice(
    bank: Bank, builds: list[str], kind: str, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    make = {"flat": lambda: Flat(FlatOptions()), "faiss": lambda: FaissIndex(FaissOptions()), "hnsw": hnsw}[kind]
    before = found(bank, make())
    (place,) = kept(bank)
    victim = max((f for f in place.iterdir() if f.name != "manifest.json"), key=lambda f: f.stat().st_size)
    if damage == "manifest":
        victim = place / "manifest.json"
    content = bytearray(victim.read_bytes())
    if damage == "gone":
        victim.unlink()
    elif damage == "flipped":
        content[len(content) // 2] ^= 0xFF
        victim.write_bytes(content)
    else:
        victim.write_bytes(content[: len(content) // 2])
    with caplog.at_level(logging.WARNING):
        assert found(Bank.open(bank.path), make()) == before
    assert "it is built again" in caplog.text
    assert len(builds) == 2
    assert found(Bank.open(bank.path), make()) == before
    assert len(builds) == 2
    assert len(kept(bank)) == 1


def test_a_bank_that_cannot_be_written_keeps_its_indexes_in_the_cache(bank: Bank, builds: list[str], cache: Path) -> None:
    (bank.path / "_indexes").write_text("a file where a folder should be")
    first = found(bank, hnsw())
    assert found(Bank.open(bank.path), hnsw()) == first
    assert len(builds) == 1
    assert [path.name for path in (cache / "indexes").iterdir()] == [bank.info.identity]


def test_where_nothing_can_be_written_it_still_works_and_says_so(
    bank: Bank, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (bank.path / "_indexes").write_text("")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CALUMMA_CACHE", str(tmp_path / "file"))
    with caplog.at_level(logging.WARNING):
        assert len(found(bank, hnsw())) == 5
    assert "could not be kept" in caplog.text


def test_an_index_of_another_bank_is_never_used(bank: Bank, builds: list[str], tmp_path: Path) -> None:
    from calumma.bank import Item, build

    found(bank, hnsw())
    build([Item(str(i), f"a red disc {i}") for i in range(12)], tmp_path / "other", words())
    (tmp_path / "other" / "_indexes").mkdir()
    (place,) = kept(bank)
    place.rename(tmp_path / "other" / "_indexes" / place.name)
    other = Bank.open(tmp_path / "other")
    assert bank.index(hnsw()).size == other.index(hnsw()).size == 12
    assert len(builds) == 2
    np.testing.assert_array_equal(sorted(found(other, hnsw())), sorted(set(found(other, hnsw()))))
