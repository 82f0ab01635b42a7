"""What Hugging Face's datasets saved, and what its builders read: from this machine alone."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path

import datasets
import pytest

from calumma.bank import Item, Skipped
from calumma.bank.sources import HFDataset
from calumma.bank.sources import hf_dataset as module
from calumma.errors import BankError, ComponentError

from .sources import BLUE, RED, by_name, found, items, reasons

FEATURES = datasets.Features(
    {"picture": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"]), "caption": datasets.Value("string")}
)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("it tried to reach another machine")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("hf"))


def made(number: int) -> datasets.Dataset:
    rows = {"picture": [RED, BLUE] * number, "label": [0, 1] * number, "caption": [f"text {i}" for i in range(2 * number)]}
    return datasets.Dataset.from_dict(rows, FEATURES)


def test_a_data_set_that_was_saved_gives_its_files_as_they_are(tmp_path: Path) -> None:
    made(2).save_to_disk(tmp_path / "saved", num_shards=2)
    source = HFDataset(tmp_path / "saved")
    assert items(source)[:2] == [
        Item("saved:0", "text 0", RED, None, {"label": "cat"}),
        Item("saved:1", "text 1", BLUE, None, {"label": "dog"}),
    ]
    assert source.count() == 4
    assert source.format == "A data set of Hugging Face's datasets, saved on disk, with saved."


def test_splits_come_one_after_another_or_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHARD_ROWS", 2)
    splits = {"train": made(2).with_format("torch"), "test": made(3).select([5, 1, 2])}
    datasets.DatasetDict(splits).save_to_disk(tmp_path)
    source = HFDataset(tmp_path)
    train, test = [f"train:{i}" for i in range(4)], [f"test:{i}" for i in range(3)]
    assert [one.name for one in items(source)] == train + test
    assert [one.text for one in items(source)][4:] == ["text 5", "text 1", "text 2"]
    assert [shard.count() for shard in source.shards()] == [2, 2, 2, 1]
    assert [one.name for one in items(HFDataset(tmp_path, split="test"))] == test
    with pytest.raises(BankError, match=r"no split 'val'. Take one of train, test"):
        HFDataset(tmp_path, split="val")


def test_a_split_without_rows_is_an_empty_shard(tmp_path: Path) -> None:
    datasets.DatasetDict({"train": made(1), "test": made(1).select([])}).save_to_disk(tmp_path)
    assert reasons(HFDataset(tmp_path)) == {"test": "an empty shard"}


def test_columns_may_have_other_names(tmp_path: Path) -> None:
    data = made(1).add_column("image_path", ["no", "file"]).add_column("key", ["k0", "k1"])
    data.save_to_disk(tmp_path)
    assert set(reasons(HFDataset(tmp_path)).values()) == {"no such file"}
    (one, _) = items(HFDataset(tmp_path, text_column="caption", image_column="picture", id_column="key"))
    assert (one.image, one.id, one.metadata) == (RED, "k0", {"label": "cat", "image_path": "no"})
    with pytest.raises(BankError, match="no column 'photo'"):
        HFDataset(tmp_path, image_column="photo")


def test_rows_without_a_caption_are_left_out_or_taken(tmp_path: Path) -> None:
    datasets.Dataset.from_dict({"image": [RED, RED], "text": ["", "words"]}).save_to_disk(tmp_path)
    assert list(reasons(HFDataset(tmp_path)).values()) == ["no caption"]
    assert len(items(HFDataset(tmp_path, uncaptioned=True))) == 2


def test_a_builder_reads_a_folder_of_files_and_copies_nothing(tmp_path: Path) -> None:
    for name in ("pictures", "csv", "parquet"):
        (tmp_path / name).mkdir()
    (tmp_path / "pictures" / "a.png").write_bytes(RED)
    (tmp_path / "pictures" / "metadata.jsonl").write_text('{"file_name": "a.png", "text": "red", "n": 1}\n')
    (tmp_path / "csv" / "x.csv").write_text("text,id\none,1\ntwo,2\n")
    made(1).to_parquet(tmp_path / "parquet" / "x.parquet")
    assert items(HFDataset(tmp_path / "pictures", "imagefolder")) == [Item("train:0", "red", RED, None, {"n": 1})]
    texts = [(one.id, one.text) for one in items(HFDataset(tmp_path / "csv", builder="csv"))]
    assert texts == [("1", "one"), ("2", "two")]
    assert [one.image for one in items(HFDataset(tmp_path / "parquet", builder="parquet"))] == [RED, BLUE]
    assert not [one for one in datasets.config.HF_DATASETS_CACHE.rglob("*") if one.is_file() and one.suffix != ".lock"]
    assert datasets.config.HF_HUB_OFFLINE is False
    assert "read by the builder csv, with train" in HFDataset(tmp_path / "csv", builder="csv").format


def test_nothing_is_fetched(tmp_path: Path) -> None:
    for given in ("hf:org/name", "hf://datasets/org/name"):
        fix = "Download it first: hf download org/name --repo-type dataset --local-dir FOLDER"
        with pytest.raises(BankError, match=fix):
            HFDataset(given)
    (tmp_path / "README.md").write_text("---\nconfigs:\n- config_name: x\n  data_files: https://example.org/x.csv\n---\n")
    (tmp_path / "x.csv").write_text("text\nlocal\n")
    assert [one.text for one in items(HFDataset(tmp_path, builder="csv"))] == ["local"]


def test_a_builder_that_could_run_code_is_refused(tmp_path: Path) -> None:
    for builder in ("pandas", "webdataset", "org/name", "./script.py"):
        with pytest.raises(BankError, match=r"is not used here\. Take one of arrow, csv"):
            HFDataset(tmp_path, builder=builder)


def test_a_script_in_the_folder_is_not_run(tmp_path: Path) -> None:
    made(1).save_to_disk(tmp_path / "saved")
    (tmp_path / "saved" / "saved.py").write_text("raise SystemExit('ran')")
    assert len(items(HFDataset(tmp_path / "saved"))) == 2


def test_a_saved_data_set_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    made(1).save_to_disk(tmp_path / "other")
    arrow = next((tmp_path / "other").glob("*.arrow"))
    for spoil in (
        lambda place: (place / "state.json").write_text(json.dumps({"_data_files": [{"filename": "../other/" + arrow.name}]})),
        lambda place: (next(place.glob("*.arrow")).unlink(), (place / arrow.name).symlink_to(arrow)),
        lambda place: ((place / "state.json").unlink(), (place / "state.json").symlink_to(tmp_path / "other" / "state.json")),
        lambda place: (place / "dataset_dict.json").write_text('{"splits": ["../other"]}'),
    ):
        made(1).save_to_disk(tmp_path / "in")
        spoil(tmp_path / "in")
        with pytest.raises(BankError, match="points outside of its folder"):
            HFDataset(tmp_path / "in")


def test_a_folder_of_files_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text("text\nsecret\n")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x.csv").symlink_to(tmp_path / "secret.csv")
    with pytest.raises(BankError, match=r"x.csv points outside of its folder"):
        HFDataset(tmp_path / "in", builder="csv")


def test_pictures_outside_of_the_folder_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(RED)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x.csv").write_text(f"text,image\none,{tmp_path}/secret.png\ntwo,../secret.png\nthree,https://x/a.png\n")
    said = reasons(HFDataset(tmp_path / "in", builder="csv"))
    assert list(said.values()) == ["points outside of its folder", "points outside of its folder", "no such file"]


def test_a_saved_data_set_that_is_damaged_says_so(tmp_path: Path) -> None:
    made(1).save_to_disk(tmp_path / "saved")
    state = (tmp_path / "saved" / "state.json").read_text()
    for content in ("{", "[]", '{"_data_files": [{}]}', '{"_data_files": [{"filename": "gone.arrow"}]}', state):
        (tmp_path / "saved" / "state.json").write_text(content)
        if content == state:
            file = next((tmp_path / "saved").glob("*.arrow"))
            file.write_bytes(file.read_bytes()[:300])
        with pytest.raises(BankError, match="cannot be read"):
            HFDataset(tmp_path / "saved")
    (tmp_path / "dataset_dict.json").write_text('{"splits": []}')
    with pytest.raises(BankError, match="holds no split"):
        HFDataset(tmp_path)
    with pytest.raises(BankError, match="no folder"):
        HFDataset(tmp_path / "gone")


def test_offsets_of_arrow_are_not_believed(tmp_path: Path) -> None:
    datasets.Dataset.from_dict({"text": ["one" * 20, "two" * 20], "n": [1, 2]}).save_to_disk(tmp_path)
    file = next(tmp_path.glob("*.arrow"))
    content = file.read_bytes()
    offsets = b"".join(number.to_bytes(4, "little") for number in (0, 60, 120))
    assert content.count(offsets) == 1
    wrong = b"".join(number.to_bytes(4, "little") for number in (0, 2**30, 2**31 - 1))
    file.write_bytes(content.replace(offsets, wrong))
    every = by_name(HFDataset(tmp_path), damaged=True)
    (one,) = every.values()
    assert isinstance(one, Skipped)
    assert one.reason.startswith("unreadable: ")


def test_without_the_extra_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(1).save_to_disk(tmp_path)
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ComponentError, match=r'pip install "calumma\[datasets\]"'):
        found(HFDataset(tmp_path))
