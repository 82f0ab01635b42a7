"""A bank may come from anybody: it is read as data, stays in its folder, and what is forged is refused with a sentence."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lance
import numpy as np
import pyarrow as pa
import pytest

from calumma.bank import Bank, Item, build
from calumma.errors import BankError, CalummaError, InputError

from ..bank.conftest import encoded, picture, words
from .conftest import Canary, Refused, sentence
from .test_pictures import png, postscript

Change = Callable[[pa.Table], pa.Table]


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    """The rows of a small good bank."""
    path = tmp_path_factory.mktemp("banks") / "good"
    items = [Item(str(i), f"a red disc {i}", encoded(picture((i * 9, 3, 5), i % 6)), metadata={"n": i}) for i in range(8)]
    build(items, path, words(), progress=False)
    return lance.dataset(str(path)).to_table()


def written(table: pa.Table, path: Path) -> Path:
    lance.write_dataset(table, str(path))
    return path


def use(path: Path) -> None:
    """Everything that reads a bank."""
    bank = Bank.open(path)
    bank.facts()
    bank.documents(bank.keys.tolist())
    bank.keys_of(bank.ids(bank.keys[:1].tolist()))
    bank.entries(texts=True)
    bank.search("a red disc", embedder=words())


def replaced(column: str, values: list[Any], type: pa.DataType | None = None) -> Change:
    def change(table: pa.Table) -> pa.Table:
        at = table.schema.get_field_index(column)
        filled = [values[i % len(values)] for i in range(len(table))]
        return table.set_column(at, column, pa.array(filled, type or table.schema.field(column).type))

    return change


def told(**changes: object) -> Change:
    """Another description of the bank in the schema's metadata."""

    def change(table: pa.Table) -> pa.Table:
        values = json.loads(table.schema.metadata[b"calumma"]) | changes
        return table.replace_schema_metadata({b"calumma": json.dumps(values).encode()})

    return change


def raw(text: bytes) -> Change:
    return lambda table: table.replace_schema_metadata({b"calumma": text})


def codes(grid: bytes, row: list[int], type: pa.DataType | None = None) -> Change:
    """A column of codes, as `add_tokens` writes it, with other contents."""

    def change(table: pa.Table) -> pa.Table:
        field = pa.field("tokens_x", type or pa.list_(pa.int32()), metadata={b"fingerprint": b"x/y#0", b"grid": grid})
        return table.append_column(field, pa.array([row] * len(table), field.type))

    return change


EMBEDDER = {"id": "tests/words", "fingerprint": "x", "options": {}}
FORGED: dict[str, Change] = {
    "an identity that climbs": told(identity="../../../../escaped"),
    "an identity that is a path": told(identity="/tmp/escaped"),
    "an identity with a line break": told(identity="a" * 32 + "\n"),
    "an identity that is a number": told(identity=7),
    "a dimension of 10**12": told(dimension=10**12),
    "a dimension of 0": told(dimension=0),
    "a dimension in words": told(dimension="32"),
    "a dimension that is not that of its vectors": told(dimension=64),
    "a format of the future": told(format=99),
    "a format that is a list": told(format=[]),
    "an embedder that is a word": told(embedder="os.system"),
    "options that are a list": told(embedder=EMBEDDER | {"options": [1]}),
    "an embedder of another type": told(embedder=EMBEDDER | {"id": ["os", "system"]}),
    "metadata nested 100,000 deep": raw(b"[" * 100_000),
    "metadata that is no JSON": raw(b"\0{"),
    "metadata that is a long number": raw(b"9" * 10_000),
    "no metadata": lambda table: table.replace_schema_metadata({}),
    "keys that are words": replaced("key", ["a"], pa.string()),
    "no vectors": lambda table: table.drop_columns(["text_vector"]),
    "vectors of words": replaced("text_vector", ["x"], pa.string()),
    "pictures that are words": replaced("image", ["x"], pa.string()),
    "a picture of 100,000 x 100,000": replaced("image", [png(100_000, 100_000)]),
    "a picture that is none": replaced("image", [b"GIF89a"]),
    "metadata of a row nested 100,000 deep": replaced("metadata", ["[" * 100_000]),
    "metadata of a row that is no JSON": replaced("metadata", ["{"]),
    "codes of a grid that is none": codes(b"ax4", [1, 2]),
    "codes of a negative grid": codes(b"-1x-2", [1, 2]),
    "codes of a grid beyond memory": codes(b"1000000000x1000000000", [1, 2]),
    "codes that do not fill their grid": codes(b"4x4", [1, 2]),
    "codes that are words": codes(b"1x1", ["x"], pa.list_(pa.string())),  # the fault: words
}


@pytest.mark.parametrize("what", FORGED)
def test_a_forged_bank_is_refused_with_a_sentence(what: str, table: pa.Table, tmp_path: Path, here: Path) -> None:
    path = written(FORGED[what](table), here / "forged")
    before = set(tmp_path.rglob("*"))
    with pytest.raises(CalummaError) as error:
        use(path)
    assert sentence(error.value)
    assert set(tmp_path.rglob("*")) == before


def test_a_good_one_is_read(table: pa.Table, here: Path) -> None:
    use(written(table, here / "good"))
    use(written(codes(b"1x2", [1, 2])(table), here / "with codes"))


def test_a_picture_in_a_bank_calls_no_other_program(table: pa.Table, here: Path, canary: Canary) -> None:
    use_all = replaced("image", [postscript(canary), canary.pickled()])
    path = written(use_all(table), here / "forged")
    for key in range(2):
        with pytest.raises(InputError, match="not a readable picture"):
            Bank.open(path).documents([key])


def test_a_bank_may_name_an_installed_embedder_and_no_dotted_path(
    table: pa.Table, here: Path, refused: Refused, canary: Canary, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "evil.py").write_text(f"import os\nos.system({canary.command!r})\n")
    monkeypatch.syspath_prepend(str(here))
    embedders: list[dict[str, Any]] = [
        {"id": "evil:run"},
        {"id": "evil/run"},
        {"id": "./evil.py"},
        {"id": "os.system/x"},
        {"id": ""},
        {"id": "exact/flat"},
        {"id": "openclip/clip", "options": {"weights": "/dev/zero", "model": "ViT-B-32"}},
        {"id": "openclip/clip", "options": {"weights": "starter:../../x"}},
        {"id": "openclip/clip", "options": {"target": "os:system"}},
        {"id": "openclip/clip", "options": {"model": "hf-hub:../evil", "pretrained": "x"}},
        {"id": "openclip/clip", "options": {"model": "local-dir:evil", "pretrained": "x"}},
    ]
    for number, embedder in enumerate(embedders):
        path = written(told(embedder=EMBEDDER | embedder)(table), here / f"forged-{number}")
        assert refused("bank", "search", path, "a red disc")


@pytest.fixture
def good(table: pa.Table, here: Path) -> Path:
    return written(table, here / "bank")


def test_a_bank_whose_rows_lie_elsewhere_is_refused(good: Path, here: Path, refused: Refused) -> None:
    lance.dataset(str(good)).shallow_clone(str(here / "clone"), 1)
    assert "outside of its folder" in refused("bank", "info", here / "clone")
    with pytest.raises(BankError, match="outside of its folder"):
        Bank.open(here / "clone")


@pytest.mark.parametrize("target", ["/dev/zero", "/etc/passwd", "/", "itself"])
@pytest.mark.parametrize("what", ["data/*.lance", "_versions/*.manifest"])
def test_links_in_a_bank_to_what_is_no_part_of_it_give_a_sentence(target: str, what: str, good: Path) -> None:
    (victim,) = good.glob(what)
    victim.unlink()
    victim.symlink_to(victim if target == "itself" else target)
    with pytest.raises(BankError) as error:
        use(good)
    assert "root:" not in sentence(error.value)


@pytest.mark.parametrize("what", ["data/*.lance", "_versions/*.manifest"])
@pytest.mark.parametrize("part", [0, 1, 2, 3])
def test_a_cut_off_bank_gives_a_sentence(what: str, part: int, good: Path) -> None:
    (victim,) = good.glob(what)
    content = victim.read_bytes()
    victim.write_bytes(content[: len(content) * part // 4])
    with pytest.raises(BankError) as error:
        use(good)
    assert sentence(error.value)


def test_a_bank_that_is_no_folder_is_refused(here: Path, good: Path, refused: Refused) -> None:
    for name in ("/dev/zero", "/etc/passwd", "a" * 5000, "starter:../../x", "gone", "x:y"):
        assert refused("bank", "info", name)
    shutil.rmtree(good / "_versions")
    assert refused("bank", "info", good)


def test_numbers_that_are_none_do_no_harm(table: pa.Table, here: Path) -> None:
    rows = [[float("nan")] * 32, [float("inf")] * 32, [1e38] * 32]
    change = replaced("text_vector", rows)
    bank = Bank.open(written(change(table), here / "forged"))
    with np.errstate(all="ignore"):
        assert len(bank.search("a red disc", embedder=words())) <= 5


def test_what_a_bank_says_cannot_steer_the_terminal(
    table: pa.Table, here: Path, tiny: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from calumma.cli.bank import search_bank
    from calumma.cli.main import run

    nasty = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202edisc\r\n0.9999  forged"
    shutil.copytree(tiny.parent / "memory", here / "steering")
    rows = lance.dataset(str(here / "steering")).to_table()
    shutil.rmtree(here / "steering")
    change = replaced("text", [nasty])(replaced("id", [f"{nasty}{i}" for i in range(len(rows))])(told(source=nasty)(rows)))
    path = written(change, here / "steering")
    search_bank(str(path), "a red disc", 3)
    for line in (["bank", "info", str(path)], ["bank", "info", str(path) + nasty], ["generate", "x", "--bank", nasty]):
        monkeypatch.setattr("sys.argv", ["calumma", *line])
        with pytest.raises(SystemExit):
            run()
    said = capsys.readouterr()
    assert "disc" in said.out
    assert len(said.out.splitlines()) == 3 + 12  # a line a hit, then a line a fact: nothing broke a line in two
    for sign in ("\x1b", "\x9b", "\x07", "\r", "\u202e"):
        assert sign not in said.out + said.err


def test_a_link_in_the_place_of_a_bank_is_never_written_through(table: pa.Table, here: Path) -> None:
    good = written(table, here / "good")
    (here / "link").symlink_to(good)
    before = sorted(good.rglob("*"))
    with pytest.raises(BankError, match="is a link to a bank"):
        build([Item("a", "one text")], here / "link", words(), overwrite=True, progress=False)
    assert sorted(good.rglob("*")) == before
    assert (here / "link").is_symlink()
    assert sorted(path.name for path in here.iterdir()) == ["good", "link"]
    (here / "dangling").symlink_to(here / "nowhere")
    with pytest.raises(BankError):
        build([Item("a", "one text")], here / "dangling", words(), progress=False)
    assert not (here / "nowhere").exists()
