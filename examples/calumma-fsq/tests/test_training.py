"""The command that trains: what it writes, that it can be stopped at any step, and what it says to mistakes."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from calumma.documents.pictures import read_picture, write_png

from calumma_fsq.config import FSQConfig
from calumma_fsq.pictures import read_all, sheet, split
from calumma_fsq.train import Training, main, psnr

SMALL = [
    "--side",
    "16",
    "--width",
    "8",
    "--batch",
    "4",
    "--levels",
    "5",
    "5",
    "5",
    "--factor",
    "4",
    "--save-every",
    "3",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Plain pictures of many colours and sizes, which a few steps can learn."""
    folder = tmp_path_factory.mktemp("pictures")
    chance = np.random.default_rng(0)
    for i in range(48):
        colours = chance.integers(0, 256, (2, 2, 3), np.uint8)
        write_png(folder / f"{i}.png", np.repeat(np.repeat(colours, 9, 0), 8 + i % 2, 1))
    return folder


def test_it_learns_and_writes_weights_and_a_sheet(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "w.safetensors"
    assert main([str(folder), "--out", str(out), "--steps", "60", "--rate", "0.01", *SMALL]) == 0
    before, after = (float(found) for found in re.findall(r"([\d.]+) dB", capsys.readouterr().out))
    assert after > before + 2
    assert FSQConfig.read(out).levels == (5, 5, 5)
    assert read_picture(tmp_path / "w.png").shape == (3 * 20 + 4, 3 * 20 + 4, 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["w.png", "w.safetensors"]


def test_stopping_and_going_on_changes_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, parts = tmp_path / "whole.safetensors", tmp_path / "parts.safetensors"
    assert main([str(folder), "--out", str(whole), "--steps", "9", *SMALL]) == 0
    step = Training.step

    def stopped(self: Training, number: int) -> float:
        if number == 5:
            raise KeyboardInterrupt
        return step(self, number)

    monkeypatch.setattr(Training, "step", stopped)
    with pytest.raises(KeyboardInterrupt):
        main([str(folder), "--out", str(parts), "--steps", "9", *SMALL])
    monkeypatch.setattr(Training, "step", step)
    assert parts.with_name("parts.safetensors.checkpoint").exists()
    assert main([str(folder), "--out", str(parts), "--steps", "8", *SMALL]) == 2
    assert "other settings" in capsys.readouterr().err
    assert main([str(folder), "--out", str(parts), "--steps", "9", *SMALL]) == 0
    assert parts.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--levels", "2", "5"], "greater than or equal to 3"),
        (["--side", "18"], "no multiple of 8"),
        (["--steps", "0"], "at least 1"),
        (["--out", "nowhere/w.safetensors"], "no folder nowhere"),
    ],
)
def test_mistakes_are_told_in_a_sentence(
    folder: Path, tmp_path: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(folder), "--out", str(tmp_path / "w.safetensors"), *words]) == 2
    assert said in capsys.readouterr().err


def test_a_source_without_pictures_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path), "--out", str(tmp_path / "w.safetensors")]) == 2
    assert "bank" in capsys.readouterr().err
    assert main([str(tmp_path / "gone"), "--out", str(tmp_path / "w.safetensors")]) == 2
    assert "does not exist" in capsys.readouterr().err


def test_a_checkpoint_of_something_else_is_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "w.safetensors.checkpoint").write_bytes(b"not a checkpoint")
    assert main([str(folder), "--out", str(tmp_path / "w.safetensors"), "--steps", "1", *SMALL]) == 2
    assert "not a checkpoint" in capsys.readouterr().err


def test_pictures_of_a_folder_are_scaled_and_padded(folder: Path) -> None:
    pictures = read_all(str(folder), 36)
    assert pictures.shape == (48, 36, 36, 3)
    tall = pictures[0]  # 0.png: 18 x 16 pixels
    assert (tall[:, :2] == 255).all()
    assert (tall[:, -2:] == 255).all()
    assert (tall[:, 2:-2] < 255).all(axis=2).any(axis=0).all()


def test_held_out_pictures_are_never_trained_on() -> None:
    train, held = split(100, seed=3)
    assert sorted([*train, *held]) == list(range(100))
    assert len(held) == 6
    assert split(2, 0)[0] != split(2, 0)[1]


def test_psnr_is_that_of_the_definition() -> None:
    black = np.zeros((2, 4, 4, 3), np.uint8)
    assert psnr(black, black + np.uint8(16)) == pytest.approx(10 * np.log10(255**2 / 256))


def test_a_sheet_lays_rows_below_each_other() -> None:
    page = sheet([np.zeros((3, 2, 2, 3), np.uint8), np.full((3, 2, 2, 3), 9, np.uint8)], gap=1)
    assert page.shape == (7, 10, 3)
    assert (page[1, 1] == 0).all()
    assert (page[4, 1] == 9).all()
    assert (page[0] == 255).all()
