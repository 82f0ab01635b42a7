"""What lies at a path is recognised, the most specific first, and one may say it oneself."""

from __future__ import annotations

from pathlib import Path

import datasets
import pytest

from calumma.bank import Bank, ImageFolder, Source
from calumma.bank.sources import BankSource, ClipRetrieval, HFDataset, Table, WebDataset, open_source
from calumma.errors import BankError

from .sources import RED, found, sample, write_tar
from .test_source_clip_retrieval import written
from .test_source_table import lines, parquet


def made(place: Path, what: str) -> Path:
    """Something at a path that a source reads."""
    if what == "clip-retrieval":
        return written(place)
    if what == "datasets":
        datasets.Dataset.from_dict({"text": ["one"], "image": [RED]}).save_to_disk(place)
    elif what == "splits":
        datasets.DatasetDict({"train": datasets.Dataset.from_dict({"text": ["one"]})}).save_to_disk(place)
    elif what == "webdataset":
        write_tar(place / "sub" / "0.tar", sample("a", RED, "one"))
    elif what == "parquet":
        parquet(place / "sub" / "t.parquet", [{"text": "one", "image": RED}])
    elif what == "jsonl":
        lines(place / "train.jsonl", {"text": "one", "image": "pictures/a.png"})
        (place / "pictures").mkdir()
        (place / "pictures" / "a.png").write_bytes(RED)
    elif what == "listed":
        lines(place / "sub" / "metadata.jsonl", {"text": "one", "file_name": "a.png"})
        (place / "sub" / "a.png").write_bytes(RED)
    elif what == "pictures":
        place.mkdir()
        (place / "a.png").write_bytes(RED)
        (place / "a.txt").write_text("one")
        (place / "log.jsonl").write_text("{}\n")
    return place


FOLDERS: dict[str, type[Source]] = {
    "clip-retrieval": ClipRetrieval,
    "datasets": HFDataset,
    "splits": HFDataset,
    "webdataset": WebDataset,
    "parquet": Table,
    "jsonl": Table,
    "listed": ImageFolder,
    "pictures": ImageFolder,
}


@pytest.mark.parametrize("what", FOLDERS)
def test_a_folder_is_recognised_by_what_lies_in_it(what: str, tmp_path: Path) -> None:
    source = open_source(made(tmp_path / "x", what))
    assert type(source) is FOLDERS[what]
    assert source.name == str(tmp_path / "x")
    assert len([one for one in found(source) if not hasattr(one, "reason")]) == (5 if what == "clip-retrieval" else 1)


def test_files_and_patterns_are_recognised_by_their_names(tmp_path: Path) -> None:
    made(tmp_path / "t", "webdataset")
    paths = {
        tmp_path / "t" / "sub" / "0.tar": WebDataset,
        tmp_path / "t" / "sub" / "{0..1}.tar": WebDataset,
        parquet(tmp_path / "a.parquet", [{"text": "one"}]): Table,
        lines(tmp_path / "a.ndjson", {"text": "one"}): Table,
    }
    for path, kind in paths.items():
        assert type(open_source(str(path))) is kind


def test_a_bank_is_recognised_and_a_damaged_one_is_not_taken_for_something_else(bank: Bank) -> None:
    assert type(open_source(bank.path)) is BankSource
    assert len(found(open_source(bank.path))) == 12
    next((bank.path / "data").glob("*.lance")).unlink()
    with pytest.raises(BankError, match="damaged"):
        found(open_source(bank.path))


def test_the_most_specific_wins(tmp_path: Path) -> None:
    place = made(tmp_path / "x", "pictures")
    (place / "log.jsonl").rename(place / "t.jsonl")
    assert type(open_source(place)) is ImageFolder
    write_tar(place / "0.tar", sample("a", RED, "one"))
    assert type(open_source(place)) is WebDataset
    datasets.Dataset.from_dict({"text": ["one"]}).save_to_disk(place)
    assert type(open_source(place)) is HFDataset
    assert type(open_source(written(place))) is ClipRetrieval


def test_one_may_say_what_it_is_and_give_options(tmp_path: Path) -> None:
    place = made(tmp_path / "x", "pictures")
    lines(place / "log.jsonl", {"words": "of the table"})
    table = open_source(place, "table", text_column="words")
    assert [one.text for one in found(table) if not hasattr(one, "reason")] == ["of the table"]
    assert type(open_source(place, "image-folder", uncaptioned=True)) is ImageFolder
    with pytest.raises(BankError, match=r"no format 'tabel'. Did you mean 'table'"):
        open_source(place, "tabel")
    with pytest.raises(BankError, match=r"table has no option 'text_colum'. Did you mean 'text_column'"):
        open_source(place, "table", text_colum="words")
    with pytest.raises(BankError, match=r"image-folder has no option 'split'"):
        open_source(place, split="train")


def test_what_cannot_be_read_is_refused_with_what_can(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no source")
    (tmp_path / "x.csv").write_text("no source")
    for path in (tmp_path, tmp_path / "x.csv"):
        with pytest.raises(BankError, match=r"holds nothing that can be read. Give a bank; .*\.jsonl or \.ndjson files"):
            open_source(path)
    for path in (tmp_path / "gone", "pipe:touch ran", "https://example.org/x.tar", "https://example.org/{0..1}.tar"):
        with pytest.raises(BankError, match=r"is not there|no tar files"):
            open_source(path)
    with pytest.raises(BankError, match="hf download org/name"):
        open_source("hf:org/name")


def test_pictures_without_any_caption_are_still_a_folder_of_pictures(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(RED)
    assert type(open_source(tmp_path)) is ImageFolder
