"""What clip-retrieval wrote: vectors with their documents, and never those of another."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from calumma.bank import Item, Skipped
from calumma.bank.sources import ClipRetrieval
from calumma.errors import BankError

from .sources import BLUE, RED, found, items, reasons

DIMENSION = 8


def vectors(rows: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, DIMENSION)).astype(np.float16)


def written(folder: Path, sizes: tuple[int, ...] = (3, 2), parts: tuple[str, ...] = ("img", "text"), **columns: Any) -> Path:
    """A folder as `clip-retrieval inference` leaves it."""
    for name in ("metadata", *(f"{part}_emb" for part in parts)):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for number, size in enumerate(sizes):
        for seed, part in enumerate(parts):
            np.save(folder / f"{part}_emb" / f"{part}_emb_{number}.npy", vectors(size, 10 * number + seed))
        rows = {"image_path": [f"{number}{i}.png" for i in range(size)], "caption": [f"{number} {i}" for i in range(size)]}
        rows |= {name: values[:size] for name, values in columns.items()}
        pq.write_table(pa.table(rows), folder / "metadata" / f"metadata_{number}.parquet")
    return folder


def test_documents_bring_their_vectors_and_metadata(tmp_path: Path) -> None:
    source = ClipRetrieval(written(tmp_path))
    every = items(source)
    assert source.embedded
    assert source.count() == 5
    assert source.format == "clip-retrieval's embeddings by image and text, 2 of each."
    assert [(one.name, one.text) for one in every[2:4]] == [
        ("metadata/metadata_0.parquet:2", "0 2"),
        ("metadata/metadata_1.parquet:0", "1 0"),
    ]
    for part, seed in (("image_vector", 0), ("text_vector", 1)):
        stored = np.concatenate([vectors(3, seed), vectors(2, 10 + seed)]).astype(np.float32)
        given = np.stack([getattr(one, part) for one in every])
        assert given.dtype == np.float32
        np.testing.assert_array_equal(given, stored)
    assert every[0].metadata == {"image_path": "00.png"}
    assert {one.image for one in every} == {None}


@pytest.mark.parametrize(("part", "missing"), [("img", "text_vector"), ("text", "image_vector")])
def test_either_of_the_two_may_be_missing(part: str, missing: str, tmp_path: Path) -> None:
    every = items(ClipRetrieval(written(tmp_path, parts=(part,))))
    assert len(every) == 5
    assert all(getattr(one, missing) is None for one in every)


def test_files_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    source = ClipRetrieval(written(tmp_path, (1,) * 11))
    assert [one.text for one in items(source)] == [f"{i} 0" for i in range(11)]
    assert len(source.shards()) == 11


def test_without_bytes_the_id_tells_pictures_of_one_caption_apart(tmp_path: Path) -> None:
    written(tmp_path / "a", (3,), caption=["same"] * 3)
    ids = [one.id for one in items(ClipRetrieval(tmp_path / "a"))]
    assert len({*ids, None}) == 4
    written(tmp_path / "b", (3,), caption=["same"] * 3, url=["x", "y", "z"])
    assert [one.id for one in items(ClipRetrieval(tmp_path / "b"))] == ids
    written(tmp_path / "c", (3,), ("text",), caption=["same"] * 3)
    assert [one.id for one in items(ClipRetrieval(tmp_path / "c"))] == [None] * 3
    written(tmp_path / "d", (3,), id=["a", None, "c"])
    assert [one.id for one in items(ClipRetrieval(tmp_path / "d"))][::2] == ["a", "c"]


def test_pictures_below_the_given_folder_come_with_their_bytes(tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    (pictures / "sub").mkdir(parents=True)
    (pictures / "a.png").write_bytes(RED)
    (pictures / "sub" / "b.png").write_bytes(BLUE)
    (tmp_path / "secret.png").write_bytes(BLUE)
    (pictures / "link.png").symlink_to(tmp_path / "secret.png")
    paths = ["a.png", str(pictures / "sub" / "b.png"), "gone.png", "../secret.png", "link.png", None]
    folder = written(tmp_path / "clip", (6,), image_path=paths)
    assert [one.image for one in items(ClipRetrieval(folder, images=pictures))] == [RED, BLUE, None, None, None, None]
    assert [one.id is None for one in items(ClipRetrieval(folder, images=pictures))] == [True, True, *[False] * 4]
    assert {one.image for one in items(ClipRetrieval(folder))} == {None}
    with pytest.raises(BankError, match="no folder"):
        ClipRetrieval(folder, images=tmp_path / "gone")


def test_a_vector_of_zeros_stands_for_a_part_that_is_not_there(tmp_path: Path) -> None:
    folder = written(tmp_path, (5,), caption=["both", "no picture", None, "neither", "broken"])
    by_image, by_text = vectors(5, 0), vectors(5, 1)
    by_image[[1, 3]], by_text[3], by_image[4, 2] = 0, 0, np.nan
    np.save(folder / "img_emb" / "img_emb_0.npy", by_image)
    np.save(folder / "text_emb" / "text_emb_0.npy", by_text)
    both, words, picture, neither, broken = found(ClipRetrieval(folder))
    assert isinstance(both, Item)
    assert isinstance(words, Item)
    assert isinstance(picture, Item)
    assert (both.text_vector is None, both.image_vector is None) == (False, False)
    assert (words.text_vector is None, words.image_vector is None) == (False, True)
    assert (picture.text, picture.text_vector, picture.image_vector is None) == ("", None, False)
    assert neither == Skipped("metadata/metadata_0.parquet:3", "no vector")
    assert broken == Skipped("metadata/metadata_0.parquet:4", "a vector with NaN or infinity")


def test_a_text_alone_needs_its_caption(tmp_path: Path) -> None:
    folder = written(tmp_path, (2,), ("text",), caption=["words", None])
    assert list(reasons(ClipRetrieval(folder)).values()) == ["no caption"]


def test_files_that_do_not_fit_one_another_are_refused(tmp_path: Path) -> None:
    folder = written(tmp_path)
    np.save(folder / "text_emb" / "text_emb_1.npy", vectors(3, 0))
    with pytest.raises(BankError, match=r"text_emb_1.npy has 3 rows, and .*metadata_1.parquet has 2"):
        ClipRetrieval(folder)


def test_arrays_that_cannot_be_used_are_left_out_with_their_documents(tmp_path: Path) -> None:
    ran = tmp_path / "ran"

    class Runs:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return os.system, (f"touch '{ran}'",)

    folder = written(tmp_path / "clip", (2,) * 8)
    files = [folder / "img_emb" / f"img_emb_{i}.npy" for i in range(8)]
    np.save(files[0], np.array([Runs(), Runs()], object), allow_pickle=True)
    files[1].write_bytes(pickle.dumps(Runs()))
    files[2].write_bytes(files[3].read_bytes()[:-3])
    np.save(files[3], np.ones((2, 3, 4), np.float16))
    np.save(files[4], np.ones((2, 8), np.int64))
    files[5].unlink()
    (tmp_path / "secret.npy").write_bytes(files[6].read_bytes())
    files[6].unlink()
    files[6].symlink_to(tmp_path / "secret.npy")
    said = reasons(ClipRetrieval(folder))
    assert list(said) == [f"metadata/metadata_{i}.parquet" for i in range(7)]
    assert [reason.split(":")[0] for reason in said.values()] == [
        *["unreadable"] * 5,
        "no such file",
        "points outside of its folder",
    ]
    assert not ran.exists()


def test_a_header_that_promises_too_much_is_refused(tmp_path: Path) -> None:
    folder = written(tmp_path, (2, 2))
    content = (folder / "img_emb" / "img_emb_0.npy").read_bytes()
    wide = content.replace(b"(2, 8), }" + b" " * 20, b"(2, 9999999999999999), }" + b" " * 5)
    assert wide != content
    (folder / "img_emb" / "img_emb_0.npy").write_bytes(wide)
    assert list(reasons(ClipRetrieval(folder))) == ["metadata/metadata_0.parquet"]


def test_a_shard_of_no_rows_and_broken_metadata_are_left_out(tmp_path: Path) -> None:
    folder = written(tmp_path, (0, 2, 2))
    (folder / "metadata" / "metadata_1.parquet").write_bytes(b"no table")
    said = reasons(ClipRetrieval(folder))
    assert said.pop("metadata/metadata_0.parquet") == "an empty shard"
    assert said.pop("metadata/metadata_1.parquet").startswith("unreadable: ")
    assert not said


def test_where_there_are_no_embeddings_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(BankError, match="no embeddings of clip-retrieval"):
        ClipRetrieval(tmp_path)
    assert not ClipRetrieval.recognises(tmp_path)
    assert reasons(ClipRetrieval(written(tmp_path, (1,), ()))) == {
        "metadata/metadata_0.parquet": "neither img_emb nor text_emb is there"
    }
