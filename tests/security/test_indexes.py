"""Engines read indexes unchecked: one is opened only where this user's own Calumma wrote it, or where the user says so."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from calumma.bank import Bank
from calumma.bank.trust import KEY_FILE
from calumma.interfaces import Query
from calumma_plugins.hnswlib.hnsw import HNSW
from calumma_plugins.hnswlib.options import HNSWOptions

from .conftest import Canary

NOTICE = "it was not built by this user's Calumma"


def hnsw() -> HNSW:
    retriever = HNSW(HNSWOptions())
    retriever.id = "hnswlib/hnsw"
    return retriever


def found(bank: Path) -> list[int]:
    one = Bank.open(bank)
    (hits,) = one.retrieve([Query(vector=one.vectors(one.keys[:1], "document")[0])], 3, hnsw())
    return hits.keys[0].tolist()


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Every folder that hnswlib was let near."""
    folders: list[Path] = []
    real = HNSW.open.__func__
    monkeypatch.setattr(
        HNSW, "open", classmethod(lambda cls, folder, options: (folders.append(folder), real(cls, folder, options))[1])
    )
    return folders


@pytest.fixture
def bank(tiny: Path, tmp_path: Path) -> Path:
    shutil.copytree(tiny.parent / "memory", tmp_path / "bank")
    shutil.rmtree(tmp_path / "bank" / "_indexes", ignore_errors=True)
    return tmp_path / "bank"


@pytest.fixture
def theirs(bank: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The bank's index as somebody else built it: under another key, whole, its manifest true."""
    mine = os.environ["CALUMMA_CACHE"]
    monkeypatch.setenv("CALUMMA_CACHE", str(tmp_path / "their-cache"))
    found(bank)
    monkeypatch.setenv("CALUMMA_CACHE", mine)
    (place,) = (bank / "_indexes").iterdir()
    return place


def forge(place: Path, name: str, content: bytes) -> None:
    """Puts a file into an index, with a manifest that is true of it; only the seal cannot be made."""
    (place / name).write_bytes(content)
    manifest = json.loads((place / "manifest.json").read_text())
    manifest["files"][name] = hashlib.sha256(content).hexdigest()
    (place / "manifest.json").write_text(json.dumps(manifest))


def test_an_index_of_somebody_else_is_not_opened_but_built_again(
    bank: Path, theirs: Path, opened: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        first = found(bank)
    assert opened == []
    assert [record.message.count(NOTICE) for record in caplog.records] == [1]
    caplog.clear()
    assert found(bank) == first
    assert opened == [theirs]  # now it is ours
    assert caplog.records == []


@pytest.mark.parametrize("seal", ["", "0" * 64, None, 7, ["x"], "ä", "absent"])
def test_a_forged_index_with_a_true_manifest_never_reaches_the_engine(
    seal: object, bank: Path, theirs: Path, opened: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    forge(theirs, "index.hnsw", os.urandom(4096))
    manifest = json.loads((theirs / "manifest.json").read_text())
    manifest["seal"] = seal
    if seal == "absent":
        del manifest["seal"]
    (theirs / "manifest.json").write_text(json.dumps(manifest))
    assert len(found(bank)) == 3
    assert opened == []
    assert NOTICE in caplog.text


def test_a_pickle_in_an_index_is_never_loaded(
    bank: Path, opened: list[Path], canary: Canary, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = found(bank)
    (place,) = (bank / "_indexes").iterdir()
    header = (
        b"\x93NUMPY\1\0v\0" + f"{{'descr': '|O', 'fortran_order': False, 'shape': (1,), }}{' ' * 60}"[:117].encode() + b"\n"
    )
    monkeypatch.setenv("CALUMMA_TRUST_INDEXES", str(bank))
    for content in (canary.pickled(), header + canary.pickled(), b"PK\x03\x04" + canary.pickled()):
        forge(place, "keys.npy", content)
        assert found(bank) == first
    assert len(opened) == 3


@pytest.mark.parametrize("text", ["", "[]", "null", "[" * 100_000, '{"seal": 1}', "9" * 10_000, "\0", '{"files": {}}'])
def test_a_manifest_of_any_shape_is_refused(
    text: str, bank: Path, opened: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    first = found(bank)
    (place,) = (bank / "_indexes").iterdir()
    (place / "manifest.json").write_text(text)
    assert found(bank) == first
    assert opened == []
    assert "it is built again" in caplog.text


def test_what_is_no_ordinary_file_in_an_index_does_not_hang(
    bank: Path, opened: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    first = found(bank)
    (place,) = (bank / "_indexes").iterdir()
    os.mkfifo(place / "pipe")
    assert found(bank) == first
    assert "a pipe" in caplog.text
    (place / "manifest.json").unlink()
    os.mkfifo(place / "manifest.json")
    assert found(bank) == first
    assert opened == []


def test_indexes_of_a_trusted_folder_are_opened_without_a_seal(
    bank: Path, theirs: Path, opened: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for folders in ("", "1", "bank", str(tmp_path / "elsewhere"), str(bank) + "x"):
        monkeypatch.setenv("CALUMMA_TRUST_INDEXES", folders)
        kept = shutil.copytree(theirs, tmp_path / "kept")
        found(bank)
        assert opened == []
        shutil.rmtree(theirs)
        kept.rename(theirs)
    monkeypatch.setenv("CALUMMA_TRUST_INDEXES", os.pathsep.join([str(tmp_path / "elsewhere"), str(bank.parent)]))
    found(bank)
    assert opened == [theirs]


def test_a_trusted_index_that_is_damaged_is_still_built_again(
    bank: Path, theirs: Path, monkeypatch: pytest.MonkeyPatch, opened: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CALUMMA_TRUST_INDEXES", str(bank))
    content = bytearray((theirs / "index.hnsw").read_bytes())
    content[1000] ^= 0xFF
    (theirs / "index.hnsw").write_bytes(content)
    assert len(found(bank)) == 3
    assert opened == []
    assert "not those that were written" in caplog.text


def test_the_key_is_readable_by_its_owner_alone_and_is_made_once(bank: Path) -> None:
    found(bank)
    key = Path(os.environ["CALUMMA_CACHE"]) / KEY_FILE
    assert key.stat().st_mode & 0o777 == 0o600
    content = key.read_bytes()
    assert len(content) == 32
    found(bank)
    assert key.read_bytes() == content


def test_a_damaged_key_opens_nothing_and_stops_nothing(
    bank: Path, opened: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    first = found(bank)
    (Path(os.environ["CALUMMA_CACHE"]) / KEY_FILE).write_bytes(b"")
    assert found(bank) == first
    assert opened == []
    assert "index.key is damaged" in caplog.text


def test_a_bank_cannot_say_where_its_index_is_written(bank: Path, tmp_path: Path, opened: list[Path]) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("precious")
    (bank / "_indexes").symlink_to(outside)
    first = found(bank)
    assert found(bank) == first
    assert [path.name for path in outside.iterdir()] == ["file"]
    assert opened
    assert all(folder.is_relative_to(os.environ["CALUMMA_CACHE"]) for folder in opened)


def test_an_index_that_is_a_link_is_replaced_and_never_what_it_leads_to(bank: Path, tmp_path: Path) -> None:
    found(bank)
    (place,) = (bank / "_indexes").iterdir()
    outside = tmp_path / "outside"
    shutil.rmtree(place)
    outside.mkdir()
    (outside / "file").write_text("precious")
    place.symlink_to(outside)
    assert len(found(bank)) == 3
    assert (outside / "file").read_text() == "precious"
    assert [path.name for path in outside.iterdir()] == ["file"]


def test_a_bank_that_cannot_be_written_says_it_once_and_is_fast_from_then_on(
    bank: Path, theirs: Path, opened: list[Path], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.rename

    def rename(source: Path, target: Path) -> None:
        if Path(source).is_relative_to(bank) or Path(target).is_relative_to(bank):
            raise PermissionError("read-only")
        real(source, target)

    monkeypatch.setattr("calumma.bank.keeping.os.rename", rename)
    first = found(bank)
    assert NOTICE in caplog.text
    caplog.clear()
    assert found(bank) == first
    assert caplog.records == []
    assert [folder.is_relative_to(os.environ["CALUMMA_CACHE"]) for folder in opened] == [True]


@pytest.mark.parametrize(("engine", "changes"), [("hnsw", 700), ("flat", 300), ("Flat", 40), ("HNSW8", 40), ("IVF4,Flat", 40)])
def test_bytes_changed_anywhere_in_an_index_never_end_the_process(engine: str, changes: int) -> None:
    script = Path(__file__).parent / "mutations.py"
    alone = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    ran = subprocess.run([sys.executable, str(script), engine, "0", str(changes)], capture_output=True, text=True, env=alone)
    assert ran.returncode == 0, ran.stderr[-2000:]
    counts = json.loads(ran.stdout)
    assert counts["opened"] + counts["refused"] == changes
    assert counts["refused"] > changes / 4


def test_a_graph_whose_links_lead_nowhere_is_refused(tmp_path: Path) -> None:
    from calumma.interfaces import Entries
    from calumma_plugins.hnswlib.checking import check_graph

    index = HNSW(HNSWOptions(M=4))
    vectors = np.random.default_rng(0).normal(size=(300, 8)).astype(np.float32)
    index.add(Entries(np.arange(300), vectors))
    index.save(tmp_path)
    path, live = tmp_path / "index.hnsw", np.ones(300, bool)
    check_graph(path, 8, live)
    good = path.read_bytes()
    element = int(np.frombuffer(good, "<u8", 1, 24)[0])
    tail = 96 + 300 * element
    higher = np.frombuffer(good, "<u4", -1, tail)
    first = tail + 4 * int(np.flatnonzero(higher)[0])
    lowest = int(np.flatnonzero(higher == 0)[0])  # an element without higher levels
    wrong = {
        "has links that lead nowhere": [(96 + 4, 300), (96 + 4, 2**32 - 1), (first + 8, 300), (first + 8, lowest)],
        "has an impossible number of links": [(96, 0xFFFF), (first + 4, 5)],
        "has labels that are not its own": [(96 + element - 8, 299)],
        "has impossible levels": [(first, 3), (first, 20 * 10**6)],
        "has no entry": [(52, 300), (48, 31)],
        "has an impossible header": [(24, element + 4), (0, 1), (32, 9), (40, 2**31), (88, 0)],
        "does not hold as many vectors": [(16, 299), (8, 1)],
    }
    for reason, changes in wrong.items():
        for place, value in changes:
            content = bytearray(good)
            content[place : place + 4] = int(value).to_bytes(4, "little")
            path.write_bytes(content)
            with pytest.raises(ValueError, match=reason):
                check_graph(path, 8, live)
    for content in (good[:-4], good[: len(good) // 2], good[:50], good + bytes(4), b""):
        path.write_bytes(content)
        with pytest.raises(ValueError):
            check_graph(path, 8, live)
