"""A bank gives back what was put in, finds it exactly, and is never half there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import lance
import numpy as np
import pytest

from calumma.bank import Bank, ImageFolder, Item, build
from calumma.documents import Image
from calumma.documents.pictures import read_picture
from calumma.errors import BankError, ComponentError, InputError, MismatchError
from calumma.interfaces import Hits, Query, normalised
from calumma_plugins.exact.flat import Flat
from calumma_plugins.exact.options import FlatOptions
from calumma_plugins.faiss.index import FaissIndex
from calumma_plugins.faiss.options import FaissOptions
from calumma_plugins.hnswlib.hnsw import HNSW
from calumma_plugins.hnswlib.options import HNSWOptions
from calumma_plugins.none.none import Nothing
from calumma_plugins.none.options import NothingOptions

from .conftest import encoded, picture, words


def test_documents_come_back_with_text_picture_id_and_metadata(bank: Bank, folder: Path) -> None:
    assert len(bank) == 12
    (key,) = bank.keys_of(["red-square"])
    (document,) = bank.documents([int(key)])
    assert (document.id, document.text, document.metadata) == ("red-square", "a red square", {"style": "plain", "n": 0})
    assert isinstance(document.parts[1], Image)
    np.testing.assert_array_equal(document.parts[1].pixels, read_picture(folder / "red-square.webp"))


def test_pictures_are_stored_as_they_came_or_without_loss(tmp_path: Path) -> None:
    pixels = picture((200, 30, 30), 0)
    kinds = {kind: encoded(pixels, kind) for kind in ("PNG", "WEBP", "JPEG", "BMP", "GIF")}
    build([Item(kind, kind, content, id=kind) for kind, content in kinds.items()], tmp_path / "bank", words())
    table = lance.dataset(str(tmp_path / "bank")).to_table().to_pylist()
    for row in table:
        if row["id"] in ("PNG", "WEBP", "JPEG"):
            assert row["image"] == kinds[row["id"]]
        else:
            assert row["image"].startswith(b"\x89PNG")
        np.testing.assert_array_equal(read_picture(row["image"]), read_picture(kinds[row["id"]]))
        assert (row["width"], row["height"]) == (12, 12)


def test_keys_may_be_asked_in_any_order_and_twice(bank: Bank) -> None:
    keys = [5, 0, 5, 11]
    assert [one.id for one in bank.documents(keys)] == bank.ids(keys)
    assert bank.keys_of(bank.ids(keys)).tolist() == keys
    assert bank.documents([]) == []
    assert bank.vectors(np.zeros(0, np.int64), "text").shape == (0, 32)
    for wrong in ([99], [-1]):
        with pytest.raises(BankError, match="every row"):
            bank.documents(wrong)
    with pytest.raises(BankError, match="no document 'nope'"):
        bank.keys_of(["nope"])


def test_vectors_are_the_embedders_and_zero_where_a_part_is_missing(tmp_path: Path) -> None:
    red = encoded(picture((200, 30, 30), 0))
    build(
        [Item("a", "a red square", red), Item("b", "words"), Item("c", "", red), Item("d", "a blue disc", red)],
        tmp_path / "b",
        words(),
    )
    bank, embedder, keys = Bank.open(tmp_path / "b"), words(), np.array([3, 1, 0, 2])
    texts, images = bank.vectors(keys, "text"), bank.vectors(keys, "image")
    np.testing.assert_allclose(texts[:3], embedder.embed_texts(["a blue disc", "words", "a red square"]), atol=1e-6)
    assert not texts[3].any()
    assert not images[1].any()
    np.testing.assert_allclose(images[0], embedder.embed_images([picture((200, 30, 30), 0)])[0], atol=1e-6)
    np.testing.assert_allclose(
        bank.vectors(keys, "document"), embedder.embed_documents(bank.documents(keys.tolist())), atol=1e-6
    )
    np.testing.assert_array_equal(bank.entries().vectors[[3, 1, 0, 2]], bank.vectors(keys, "document"))
    assert bank.entries(texts=True).texts == ["a red square", "words", "", "a blue disc"]


def test_it_says_what_it_is(bank: Bank) -> None:
    facts = bank.facts()
    assert (facts["documents"], facts["texts"], facts["images"], facts["dimension"]) == (12, 12, 12, 32)
    assert facts["embedder"] == bank.fingerprint == words().fingerprint()
    assert bank.record() == {
        "name": "shapes.bank", "identity": bank.info.identity, "version": 1, "documents": 12, "embedder": bank.fingerprint
    }  # fmt: skip


def test_ids_are_the_content_where_the_caller_gives_none(tmp_path: Path) -> None:
    for name in ("one", "two"):
        build([Item(name, "some words")], tmp_path / name, words())
    first, second = (Bank.open(tmp_path / name) for name in ("one", "two"))
    assert first.ids([0]) == second.ids([0])
    assert first.info.identity != second.info.identity


def test_search_finds_by_text_and_by_picture(bank: Bank) -> None:
    found = bank.search("a red disc", k=3, embedder=words())
    assert found[0].document.id == "red-disc"
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    by_picture = bank.search(image=picture((30, 30, 200), 6), k=3, embedder=words())
    assert all("blue" in one.document.text for one in by_picture)
    assert len(bank.search("a red disc", k=99, embedder=words())) == 12
    with pytest.raises(InputError, match="nothing to search for"):
        bank.search(embedder=words())


def test_an_embedder_of_another_meaning_is_refused_with_a_remedy(bank: Bank) -> None:
    with pytest.raises(MismatchError, match="was embedded by tests/words#") as caught:
        bank.search("a red disc", embedder=words("other"))
    assert "again" in caught.value.fix


@pytest.mark.parametrize(
    ("kind", "options"), [(Flat, FlatOptions()), (FaissIndex, FaissOptions()), (HNSW, HNSWOptions()), (None, None)], ids=str
)
def test_every_engine_gives_the_same_hits_to_the_last_bit(bank: Bank, kind: type, options: object) -> None:
    queries = [
        Query(vector=v, exclude=np.array([i])) for i, v in enumerate(words().embed_texts(["a red disc", "blue", "a cross"]))
    ]
    vectors, keys = bank.entries().vectors, bank.keys
    for i, (query, hits) in enumerate(zip(queries, bank.retrieve(queries, 4, kind and kind(options)), strict=True)):
        scores = (vectors.astype(np.float64) * query.vector).sum(1).astype(np.float32)
        expected = Hits.of([(keys[keys != i], scores[keys != i])], 4)
        np.testing.assert_array_equal(hits.keys, expected.keys)
        np.testing.assert_array_equal(hits.scores, expected.scores)
        assert hits.counts.tolist() == [4]


def test_a_retriever_that_accepts_nothing_finds_nothing(bank: Bank) -> None:
    (hits,) = bank.retrieve([Query()], 3, Nothing(NothingOptions()))
    assert hits.counts.tolist() == [0]
    assert hits.keys.tolist() == [[-1, -1, -1]]


def test_scores_do_not_depend_on_the_other_hits(bank: Bank) -> None:
    query = Query(vector=words().embed_texts(["a red disc"])[0])
    (many,), (few,) = bank.retrieve([query], 12), bank.retrieve([query], 1)
    assert many.scores[0, 0] == few.scores[0, 0]
    hits = Hits.of([(many.keys[0, 3:5], np.zeros(2, np.float32))], 2)
    np.testing.assert_array_equal(bank.rescore(query, hits, 2).scores[0], many.scores[0, 3:5])


def test_equal_scores_are_ordered_by_key(tmp_path: Path) -> None:
    build([Item(str(i), "the same words", id=str(i)) for i in range(6)], tmp_path / "bank", words())
    (hits,) = Bank.open(tmp_path / "bank").retrieve([Query(vector=words().embed_texts(["same"])[0])], 4)
    assert hits.keys.tolist() == [[0, 1, 2, 3]]


def test_an_older_version_stays_what_it_was(bank: Bank) -> None:
    lance.dataset(str(bank.path)).delete("id = 'red-disc'")
    newer = Bank.open(bank.path)
    assert (len(bank), len(newer), len(Bank.open(bank.path, version=1))) == (12, 11, 12)
    assert newer.version == 2
    assert bank.search("a red disc", k=1, embedder=words())[0].document.id == "red-disc"
    assert newer.search("a red disc", k=1, embedder=words())[0].document.id != "red-disc"
    assert newer.ids(newer.keys.tolist()) == [one.id for one in newer.documents(newer.keys.tolist())]
    np.testing.assert_allclose(newer.vectors(newer.keys, "document"), normalised(newer.entries().vectors), atol=1e-6)


def test_a_path_that_is_there_is_never_overwritten_unasked(bank: Bank, folder: Path) -> None:
    with pytest.raises(BankError, match="There is a bank") as caught:
        build(ImageFolder(folder), bank.path, words())
    assert "--overwrite" in caught.value.fix
    build([Item("a", "one")], bank.path, words(), overwrite=True)
    assert len(Bank.open(bank.path)) == 1
    before = sorted(folder.iterdir())
    with pytest.raises(BankError, match="is not a bank"):
        build([Item("a", "one")], folder, words(), overwrite=True)
    assert sorted(folder.iterdir()) == before
    assert sorted(path.name for path in bank.path.parent.iterdir()) == ["pictures", "shapes.bank"]


def test_a_build_that_is_interrupted_leaves_nothing_and_keeps_what_was_there(bank: Bank) -> None:
    def source():
        yield from (Item(str(i), f"words {i}") for i in range(100))
        raise KeyboardInterrupt

    for path in (bank.path, bank.path.with_name("other")):
        with pytest.raises(KeyboardInterrupt):
            build(source(), path, words(), overwrite=True, batch=10)
    assert sorted(path.name for path in bank.path.parent.iterdir()) == ["pictures", "shapes.bank"]
    assert len(Bank.open(bank.path)) == 12


def test_many_batches_make_one_version(tmp_path: Path) -> None:
    build((Item(str(i), f"words {i}") for i in range(150)), tmp_path / "bank", words(), batch=7)
    bank = Bank.open(tmp_path / "bank")
    assert (bank.version, bank.keys.tolist()) == (1, list(range(150)))


def test_what_is_no_bank_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BankError, match="There is no bank at"):
        Bank.open(tmp_path / "gone")
    with pytest.raises(BankError, match="holds no bank"):
        Bank.open(tmp_path)
    import pyarrow as pa

    lance.write_dataset(pa.table({"a": [1]}), str(tmp_path / "other"))
    with pytest.raises(BankError, match="not a bank"):
        Bank.open(tmp_path / "other")


def test_without_lance_the_extra_is_named(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lance", None)
    with pytest.raises(ComponentError) as caught:
        Bank.open(bank.path)
    assert 'pip install "calumma[bank]"' in caught.value.fix


def test_importing_the_bank_imports_neither_lance_nor_torch() -> None:
    code = "import sys, calumma.bank; print([m for m in ('lance', 'pyarrow', 'torch') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
