"""Several processes of Ray embed the shards of a source, and what they build is what one process builds."""

from __future__ import annotations

import io
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from calumma.bank import Bank, build
from calumma.bank.sources import WebDataset
from calumma.bank.verify import verify
from calumma.bank.writing import parallel
from calumma.bank.writing.journal import Journal
from calumma.bank.writing.parallel import build_in_parallel
from calumma.bank.writing.report import SkippedList
from calumma.errors import BankError, ComponentError
from calumma.extension import Catalog
from calumma.interfaces import Embedder

from .conftest import COLOURS, encoded, picture
from .test_bank_embedder import write_clip

TARS, EACH = 4, 6


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> Embedder:
    weights = write_clip(tmp_path_factory.mktemp("clip") / "clip.safetensors")
    part = Catalog().build("embedder", "openclip/clip", {"weights": str(weights)})
    part.warm_up()
    assert isinstance(part, Embedder)
    return part


@pytest.fixture(scope="module", autouse=True)
def ray_runs() -> Iterator[None]:
    """One Ray for all tests, which `build_in_parallel` then finds running."""
    import ray

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


@pytest.fixture
def tars(tmp_path: Path) -> Path:
    """Four shards of six pictures; one picture cannot be read, and the last shard repeats one of the first."""
    folder = tmp_path / "tars"
    folder.mkdir()
    for number in range(TARS):
        with tarfile.open(folder / f"{number:05d}.tar", "w") as tar:
            for i in range(EACH):
                colour = list(COLOURS)[(number + i) % len(COLOURS)]
                name = f"{number:05d}{i:04d}"
                content = b"no picture" if (number, i) == (1, 2) else encoded(picture(COLOURS[colour], (number * 2 + i) % 10))
                text = f"a {colour} picture {name}"
                if (number, i) == (3, 5):
                    content, text = encoded(picture(COLOURS["red"], 0)), "a red picture 000000000"
                for suffix, part in (("png", content), ("txt", text.encode())):
                    info = tarfile.TarInfo(f"{name}.{suffix}")
                    info.size = len(part)
                    tar.addfile(info, io.BytesIO(part))
    return folder


def test_two_workers_build_what_one_process_builds(tars: Path, embedder: Embedder, tmp_path: Path) -> None:
    one = build(WebDataset(tars), tmp_path / "one", embedder, progress=False)
    two = build_in_parallel(WebDataset(tars), tmp_path / "two", embedder, 2, progress=False)
    assert (two.read, two.kept, sorted(two.skipped)) == (one.read, one.kept, sorted(one.skipped))
    assert sorted(reason.split(":")[0] for _, reason in two.skipped) == ["duplicate", "not a readable picture"]
    first, second = Bank.open(tmp_path / "one"), Bank.open(tmp_path / "two")
    assert first.ids(first.keys.tolist()) == second.ids(second.keys.tolist())
    assert first.fingerprint == second.fingerprint
    assert (np.diff(second.keys) > 0).all()
    np.testing.assert_allclose(first.entries().vectors, second.entries().vectors, atol=1e-5)
    assert verify(tmp_path / "two", progress=False).whole
    assert verify(tmp_path / "two", progress=False).unrecorded == []
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_shards_that_are_done_are_not_embedded_again(
    tars: Path, embedder: Embedder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted = parallel._note
    seen: list[int] = []

    def interrupted(journal: Journal, done: parallel.Done, skipped: SkippedList) -> None:
        noted(journal, done, skipped)
        seen.append(done.number)
        if len(seen) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(parallel, "_note", interrupted)
        with pytest.raises(KeyboardInterrupt):
            build_in_parallel(WebDataset(tars), tmp_path / "bank", embedder, 2, progress=False)
    assert not (tmp_path / "bank").exists()
    with pytest.raises(BankError, match="was interrupted"):
        build(WebDataset(tars), tmp_path / "bank", embedder, progress=False)
    monkeypatch.setattr(
        parallel, "_note", lambda journal, done, skipped: (seen.append(done.number), noted(journal, done, skipped))
    )
    report = build_in_parallel(WebDataset(tars), tmp_path / "bank", embedder, 2, progress=False)
    assert seen == [0, 1, 2, 3]
    assert (report.resumed, report.kept, report.embedded) == (11, 22, 11)
    assert len(Bank.open(tmp_path / "bank")) == 22
    assert verify(tmp_path / "bank", progress=False).whole


def test_what_a_worker_cannot_use_is_one_sentence(tars: Path, embedder: Embedder, tmp_path: Path) -> None:
    with pytest.raises(BankError, match=r"000010002.*not a readable picture") as caught:
        build_in_parallel(WebDataset(tars), tmp_path / "bank", embedder, 2, strict=True, progress=False)
    assert "--strict" in caught.value.fix


def test_without_ray_the_extra_is_named(
    tars: Path, embedder: Embedder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ComponentError) as caught:
        build_in_parallel(WebDataset(tars), tmp_path / "bank", embedder, 2)
    assert 'pip install "calumma[ray]"' in caught.value.fix
    assert not (tmp_path / "bank").exists()
