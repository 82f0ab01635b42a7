"""Wrong input: exit code 2, one sentence that names the culprit, no traceback, nothing half-written."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import PIL.Image
import pytest

from ..pipeline.tiny import picture
from .conftest import Calumma

PROMPT = "a red disc"


@pytest.fixture
def given(tmp_path: Path, tiny: Path) -> dict[str, Path]:
    """Files to go wrong with."""
    PIL.Image.fromarray(picture(60, 100)).save(tmp_path / "picture.png")
    (tmp_path / "words.png").write_text("these are words")
    (tmp_path / "cut.png").write_bytes((tmp_path / "picture.png").read_bytes()[:600])
    (tmp_path / "wide.png").write_bytes(wide_png(60_000, 60))
    (tmp_path / "file").write_text("")
    (tmp_path / "broken.yaml").write_text("calumma: [1")
    names = {"picture": "picture.png", "words": "words.png", "cut": "cut.png", "wide": "wide.png", "file": "file",
             "broken": "broken.yaml"}  # fmt: skip
    return {name: tmp_path / path for name, path in names.items()} | {"tiny": tiny}


def wide_png(width: int, height: int) -> bytes:
    """A valid PNG of one colour, small on disk."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress((b"\x00" + b"\x80" * width) * height)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


DRAW = ("generate", PROMPT, "--registry", "{tiny}", "--out", "out")
READ = ("caption", "{picture}", "--registry", "{tiny}")
FILL = ("infill", "{picture}", "--prompt", PROMPT, "--registry", "{tiny}", "--out", "out")
WRONG = {
    "an empty prompt": (("generate", " ", *DRAW[2:]), "prompt is empty"),
    "no prompt": (("generate",), "PROMPT"),
    "a prompt beyond the context": (("generate", "square " * 300, *DRAW[2:]), "the context has 256"),
    "a hole that does not fit beside what is retrieved": ((*DRAW, "--set", "selection.documents=16", "--set",
        "selection.score_cap=1"), "in all; the context has 256. Retrieve at most"),
    "no samples to choose from": ((*DRAW, "--best-of", "0"), "--best-of"),
    "a first picture below zero": ((*DRAW, "--first", "-1"), "--first"),
    "a sample beyond the last": ((*DRAW, "--first", str(2**31 - 1), "-n", "2"), "Sample numbers go from 0"),
    "a prompt that is no Unicode": (("generate", "a \udcff", *DRAW[2:]), "Unicode"),
    "weights that are not there": ((*DRAW, "--set", "decoder.weights=nowhere.safetensors"), "nowhere.safetensors"),
    "weights that are words": ((*DRAW, "--set", "decoder.weights={words}"), "words.png"),
    "codes of words": ((*DRAW, "--set", "image_tokenizer.weights={words}"), "words.png"),
    "a missing registry": (("generate", PROMPT, "--registry", "nowhere.yaml"), "nowhere.yaml"),
    "a registry that is no YAML": (("generate", PROMPT, "--registry", "{broken}"), "broken.yaml"),
    "an unknown verb": (("paint", PROMPT), "paint"),
    "an unknown flag": ((*DRAW, "--sead", "1"), "--sead"),
    "an unknown pipeline": ((*DRAW, "--pipeline", "defualt"), "Did you mean 'default'"),
    "an unknown slot": ((*DRAW, "--swap", "retreiver=exact"), "Did you mean 'retriever'"),
    "an unknown name": ((*DRAW, "--swap", "retriever=hnws"), "Did you mean 'hnsw'"),
    "an unknown component": ((*DRAW, "--swap", "retriever=hnswlib/hnws"), "Did you mean 'hnswlib/hnsw'"),
    "an unknown plugin": ((*DRAW, "--swap", "retriever=nobody/index"), "calumma-nobody"),
    "a swap without a value": ((*DRAW, "--swap", "retriever"), "--swap retriever"),
    "an unknown option": ((*DRAW, "--set", "sampler.temprature=1"), "Did you mean 'temperature'"),
    "an option out of range": ((*DRAW, "--set", "sampler.top_p=1.5"), "sampler.top_p"),
    "an option of another type": ((*DRAW, "--set", "sampler.top_p=[much]"), "sampler.top_p"),
    "an option that is no YAML": ((*DRAW, "--set", "sampler.top_p=[1"), "--set sampler.top_p"),
    "an option set twice": ((*DRAW, "--set", "sampler.top_p=1", "--set", "sampler.top_p=1"), "twice"),
    "no samples": ((*DRAW, "-n", "0"), "'-n'"),
    "a number that is none": ((*DRAW, "-n", "many"), "'-n'"),
    "a seed below zero": ((*DRAW, "--seed", "-1"), "--seed"),
    "an unknown device": ((*DRAW, "--device", "abacus"), "abacus"),
    "a device that cannot compute": ((*DRAW, "--device", "meta"), "meta"),
    "an unknown bank": ((*DRAW, "--bank", "tinny"), "Did you mean 'tiny'"),
    "a folder that is no bank": ((*DRAW, "--bank", "./here"), "here"),
    "a bank of another embedder": ((*DRAW, "--bank", "foreign"), "The bank foreign was embedded by openclip/clip#"),
    "a retriever without a bank": ((*DRAW, "--pipeline", "bankless"), "exact/flat needs a bank"),
    "a decoder of other codes": (
        (*DRAW, "--swap", "image_tokenizer=another"),
        "trained with the image_tokenizer taming/vqgan#",
    ),
    "an out that is under a file": ((*DRAW[:-1], "{file}/under"), "file/under"),
    "an out that is a file": ((*DRAW[:-1], "{file}"), "file"),
    "a picture that is not there": (("caption", "none.png", *READ[2:]), "There is no file none.png"),
    "a picture that is a folder": (("caption", ".", *READ[2:]), "folder"),
    "a picture that is words": (("caption", "{words}", *READ[2:]), "words.png is not a readable picture"),
    "a picture that was cut off": (("caption", "{cut}", *READ[2:]), "cut.png is not a readable picture"),
    "a picture 60,000 pixels wide": (("caption", "{wide}", *READ[2:]), "60000 x 60"),
    "an infilling of words": (("infill", "{words}", "--box", "0,0,9,9", *FILL[2:]), "words.png"),
    "a box outside the picture": ((*FILL, "--box", "50,50,101,60"), "50,50,101,60"),
    "a box inside out": ((*FILL, "--box", "30,30,20,20"), "30,30,20,20"),
    "a box of three": ((*FILL, "--box", "1,2,3"), "1,2,3"),
    "a box of words": ((*FILL, "--box", "a,b,c,d"), "a,b,c,d"),
    "no box": (FILL, "--box"),
    "an infilling of nothing": (("infill", "{picture}", "--box", "0,0,9,9", "--prompt", "", *FILL[4:]), "prompt is empty"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_it_is_refused_with_one_sentence_and_nothing_is_written(
    what: str, calumma: Calumma, given: dict[str, Path], here: Path
) -> None:
    words, culprit = WRONG[what]
    before = everything(given["tiny"].parent)
    ran = calumma(*(word.format(**given) for word in words))
    assert ran.code == 2, ran
    assert ran.out == ""
    assert ran.err.startswith("calumma: ")
    assert culprit in ran.err
    assert ran.err.count("\n") == 1, ran.err
    assert "Traceback" not in ran.err
    assert list(here.iterdir()) == []
    assert everything(given["tiny"].parent) == before
    assert given["file"].read_text() == ""


@pytest.mark.parametrize("what", ["an empty prompt", "an unknown name", "no samples", "an unknown verb", "a box of three"])
def test_with_json_the_error_is_one_object(what: str, calumma: Calumma, given: dict[str, Path], here: Path) -> None:
    words, culprit = WRONG[what]
    ran = calumma(*(word.format(**given) for word in words), "--json")
    assert ran.code == 2
    error = ran.json["error"]
    assert set(error) == {"message", "fix"}
    assert culprit in error["message"] + error["fix"]
    assert list(here.iterdir()) == []


def test_debug_shows_the_traceback(calumma: Calumma, given: dict[str, Path]) -> None:
    ran = calumma(*(word.format(**given) for word in WRONG["an empty prompt"][0]), "--debug")
    assert ran.code == 2
    assert "Traceback (most recent call last)" in ran.err
    assert ran.err.splitlines()[-1].startswith("calumma: The prompt is empty.")


def everything(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if "_indexes" not in path.parts}  # derived, and kept


def test_a_run_that_is_interrupted_writes_nothing(
    calumma: Calumma, tiny: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("calumma.pipeline.drawing.decode_picture", interrupted)
    ran = calumma("generate", PROMPT, "--registry", tiny, "--out", "out", "--json")
    assert (ran.code, ran.out) == (130, "")
    assert list(here.iterdir()) == []


def test_what_should_not_have_happened_exits_with_1(
    calumma: Calumma, tiny: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("by chance")

    monkeypatch.setattr("calumma.pipeline.drawing.decode_picture", broken)
    ran = calumma("generate", PROMPT, "--registry", tiny, "--out", "out", "--json")
    assert ran.code == 1
    assert ran.json["error"]["message"] == "ZeroDivisionError: by chance"
    assert "Traceback" not in ran.err
    assert list(here.iterdir()) == []
