"""Compacting: fewer files, what was removed is gone from the disk, versions that nobody needs are forgotten; the rest stays."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import lance
import numpy as np
import pytest

from calumma.bank import Bank, Item, add, build, remove
from calumma.bank.verify import verify
from calumma.bank.writing.compact import compact
from calumma.errors import BankError, ComponentError, InputError
from calumma_plugins.hnswlib.hnsw import HNSW

from .conftest import encoded, words
from .samples import Listed, contents, counting, go_in_small_steps, item, items, keys, tree
from .test_bank_cli import answer, run
from .test_indexes import hnsw

SECRET = "a word that must be gone " + "xyzzy" * 20


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bank of six versions and many small files; one document that was removed, and one that was replaced, held SECRET."""
    made = tmp_path_factory.mktemp("lived") / "bank"
    build(items(range(6)), made, words())
    add(made, [*items(range(6, 9)), item(20, SECRET)], words())
    add(made, [*items(range(9, 12)), Item("x", "words", id="id21", metadata={"secret": SECRET})], words())
    remove(made, ["id20", "id3"])
    add(made, [item(21), item(1, "another")], words(), replace=True)
    remove(made, ["id0"])
    return made


@pytest.fixture
def place(lived: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(lived, tmp_path / "bank"))


def held(place: Path) -> list[str]:
    """Files that hold SECRET."""
    return [name for name, content in tree(place).items() if b"xyzzyxyzzy" in content]


def data(place: Path) -> int:
    return len(list((place / "data").iterdir()))


def hits(bank: Bank, **more: object) -> list[tuple[int, float]]:
    return [(one.key, one.score) for one in bank.search(vector=words().embed_texts(["a red disc 7"])[0], k=20, **more)]


def test_documents_keys_and_answers_stay(place: Path) -> None:
    before, old_keys, answers = contents(place), keys(place), hits(Bank.open(place))
    done = compact(place, keep_days=0)
    assert contents(place) == before
    assert keys(place) == old_keys
    assert hits(Bank.open(place)) == hits(Bank.open(place), retriever=hnsw()) == answers
    assert done.version == Bank.open(place).version > 6
    assert verify(place).whole
    assert verify(place).unrecorded == []


def test_there_are_fewer_files_and_the_sizes_are_told(place: Path) -> None:
    before = data(place)
    size = sum(map(len, tree(place).values()))
    done = compact(place, keep_days=0)
    assert data(place) == 1 < before
    assert done.after == sum(map(len, tree(place).values())) < done.before == size
    assert not list((place / "_deletions").iterdir())


def test_what_was_removed_or_replaced_is_gone_from_the_disk(place: Path) -> None:
    assert held(place)
    compact(place, keep_days=0)
    assert held(place) == []


def test_versions_are_kept_by_default_and_can_be_read(place: Path) -> None:
    before = {version: contents(place, version) for version in range(1, 7)}
    done = compact(place)
    assert done.versions >= 7
    for version, expected in before.items():
        assert contents(place, version) == expected
    assert verify(place).whole
    assert held(place)


def test_versions_are_forgotten_when_they_may_be(place: Path) -> None:
    old = Bank.open(place, version=2)
    done = compact(place, keep_days=0)
    assert done.versions == 1
    assert [one["version"] for one in Bank.open(place).versions()] == [done.version]
    with pytest.raises(BankError, match="holds no version 2 of a bank"):
        Bank.open(place, version=2)
    with pytest.raises(BankError):
        old.documents(old.keys.tolist())


def test_indexes_of_forgotten_versions_go_with_them(place: Path) -> None:
    Bank.open(place, version=2).index(hnsw())
    Bank.open(place).index(hnsw())
    (place / "_indexes" / ".half-written").mkdir()
    compact(place)
    assert sorted(one.name.rpartition("-v")[2] for one in (place / "_indexes").iterdir()) == ["6"]
    newest = Bank.open(place)
    newest.index(hnsw())
    compact(place, keep_days=0)
    left = [int(one.name.rpartition("-v")[2]) for one in (place / "_indexes").iterdir()]
    assert left == [version for version in left if version == Bank.open(place).version]
    assert hits(Bank.open(place), retriever=hnsw()) == hits(Bank.open(place))


def test_compacting_twice_changes_nothing_more(place: Path) -> None:
    compact(place, keep_days=0)
    before = tree(place)
    done = compact(place, keep_days=0)
    assert (done.before, done.after) == (sum(map(len, before.values())),) * 2
    assert tree(place) == before


def test_a_change_that_was_interrupted_is_not_swept_away(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go_in_small_steps(monkeypatch, fragment=2)
    source = items(range(30, 40))
    with pytest.raises(RuntimeError):
        add(place, Listed(source, error=RuntimeError()), words(), batch=2)
    before = tree(place / "data") | tree(place / "_pending")
    with pytest.raises(BankError, match="`bank add` of /some/listed was interrupted in") as caught:
        compact(place, keep_days=0)
    assert "--discard" in caught.value.fix
    assert tree(place / "data") | tree(place / "_pending") == before
    embedder = counting()
    add(place, Listed(source), embedder, batch=2)
    assert len(embedder.texts) == 2
    compact(place, keep_days=0)
    assert verify(place).whole


def test_what_an_interrupted_change_left_and_gave_up_is_swept_away(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go_in_small_steps(monkeypatch, fragment=2)
    with pytest.raises(RuntimeError):
        add(place, Listed([item(30, SECRET), *items(range(31, 40))], error=RuntimeError()), words(), batch=2)
    add(place, items([50]), words(), discard_pending=True)
    compact(place, keep_days=0)
    assert data(place) == 1
    assert held(place) == []
    assert verify(place).whole


@pytest.mark.parametrize(("share", "seed"), [(0.0, 0), (0.2, 1), (0.4, 2), (0.6, 3), (0.8, 4), (0.9, 5)])
def test_forgetting_that_was_cut_short_is_no_damage_and_the_next_writer_ends_it(
    place: Path, monkeypatch: pytest.MonkeyPatch, share: float, seed: int
) -> None:
    expected = contents(place)

    def cut_short(dataset: lance.LanceDataset, *age: object, **more: object) -> None:
        """As Lance, killed after some of the files of older versions, in no order that we may rely on."""
        newest = {one["path"] for one in dataset.tracked_files().read_all().to_pylist() if one["version"] == dataset.version}
        old = [name for name in tree(place) if name.split("/")[0] in ("data", "_versions", "_transactions", "_deletions")]
        old = [name for name in old if name not in newest and name != "_versions/latest_version_hint.json"]
        for name in random.Random(seed).sample(old, int(len(old) * share)):
            (place / name).unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(lance.LanceDataset, "cleanup_old_versions", cut_short)
        with pytest.raises(KeyboardInterrupt):
            compact(place, keep_days=0)
    assert contents(place) == expected
    assert verify(place).damage == []
    assert remove(place, ["id5"]) == 1
    assert [one["version"] for one in Bank.open(place).versions()][-1] == Bank.open(place).version
    assert len(Bank.open(place).versions()) == 2
    verdict = verify(place)
    assert (verdict.damage, verdict.unrecorded) == ([], [])
    assert held(place) == []


def test_changes_go_on_after_compacting(place: Path) -> None:
    seen = set(keys(place).values())
    compact(place, keep_days=0)
    assert add(place, items(range(5, 10)), words()).there == 5
    report = add(place, [item(5, "another"), item(40)], words(), replace=True)
    assert (report.replaced, report.embedded) == (1, 2)
    assert not {keys(place)["id5"], keys(place)["id40"]} & seen
    assert remove(place, ["id5", "id6"]) == 2
    compact(place, keep_days=0)
    assert verify(place).whole


def test_a_bank_that_is_empty_can_be_compacted(place: Path) -> None:
    remove(place, list(contents(place)))
    compact(place, keep_days=0)
    assert len(Bank.open(place)) == 0
    assert verify(place).whole
    assert held(place) == []
    add(place, items(range(3)), words())
    assert len(contents(place)) == 3


def test_a_bank_with_large_pictures_stays_what_it_was(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (3, 300, 300, 3), np.uint8)
    build([Item(f"{i}", f"{i}", encoded(one), id=f"{i}") for i, one in enumerate(noise)], tmp_path / "bank", words())
    remove(tmp_path / "bank", ["1"])
    before = contents(tmp_path / "bank")
    compact(tmp_path / "bank", keep_days=0)
    assert contents(tmp_path / "bank") == before


@pytest.mark.parametrize("days", [-1.0, float("nan"), float("inf"), 1e15])
def test_no_number_of_days_is_refused_and_an_age_beyond_all_keeps_all(place: Path, days: float) -> None:
    if days > 0:
        assert compact(place, keep_days=days).versions >= 7
    else:
        with pytest.raises(InputError, match="days"):
            compact(place, keep_days=days)


def test_the_command_says_what_it_did(place: Path) -> None:
    told = answer("compact", place, "--keep-days", 0)
    assert told == {
        "bank": str(place),
        "version": Bank.open(place).version,
        "versions": 1,
        "before": told["before"],
        "after": sum(map(len, tree(place).values())),
    }
    assert "1 kept" in run("compact", place, "--keep-days", 0)


def test_an_engine_is_asked_to_drop_what_it_holds_elsewhere(
    place: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    Bank.open(place, version=2).index(hnsw())
    (kept,) = (place / "_indexes").iterdir()
    asked: list[Path] = []

    def unreachable(cls: type, folder: Path) -> None:
        asked.append(folder)
        raise ComponentError("Nobody answers.", "Start it.")

    monkeypatch.setattr(HNSW, "drop", classmethod(unreachable))
    compact(place, keep_days=0)
    assert asked == [kept]
    assert kept.is_dir()
    assert "Nobody answers" in caplog.text
    monkeypatch.setattr(HNSW, "drop", classmethod(lambda cls, folder: asked.append(folder)))
    compact(place, keep_days=0)
    assert asked == [kept, kept]
    assert not kept.exists()
