"""A bank can keep the codes of its pictures beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from calumma.bank import Bank, Item, add_tokens, build
from calumma.errors import InputError
from calumma.interfaces import ImageTokenizer, Options

from .conftest import encoded, picture, words


class Means(ImageTokenizer):
    """Codes are the mean brightness of each quarter, in 16 steps."""

    codebook_size, resolution = 16, (8, 8)

    def grid(self, height: int, width: int) -> tuple[int, int]:
        if height % 4 or width % 4:
            raise InputError("no")
        return height // 4, width // 4

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        return (torch.nn.functional.avg_pool2d(images.mean(1, keepdim=True), 4)[:, 0] * 15.99).long()

    def decode(self, ids: torch.Tensor) -> torch.Tensor:
        return (ids / 15).float()[:, None].repeat(1, 3, 1, 1).repeat_interleave(4, 2).repeat_interleave(4, 3)


@pytest.fixture
def tokenizer() -> Means:
    one = Means(Options())
    one.id = "tests/means@2"
    return one


def test_codes_are_kept_and_come_back_with_their_pictures(tmp_path: Path, tokenizer: Means) -> None:
    light, dark = encoded(np.full((8, 8, 3), 255, np.uint8)), encoded(picture((0, 0, 0), 0))
    build([Item("a", "light", light), Item("b", "words alone"), Item("c", "dark", dark)], tmp_path / "bank", words())
    before = Bank.open(tmp_path / "bank")
    bank = add_tokens(before, tokenizer)
    assert (before.version, bank.version) == (1, 2)
    first, second, third = bank.documents([0, 1, 2])
    assert first.image is not None
    assert third.image is not None
    np.testing.assert_array_equal(first.image.tokens[tokenizer.fingerprint()], [[15, 15], [15, 15]])
    np.testing.assert_array_equal(third.image.tokens[tokenizer.fingerprint()], [[0, 0], [0, 0]])
    assert first.image.tokens[tokenizer.fingerprint()].dtype == np.int64
    assert second.image is None
    assert before.documents([0])[0].image.tokens == {}
    assert bank.fingerprint == before.fingerprint


def test_codes_that_are_there_are_not_made_again(bank: Bank, tokenizer: Means) -> None:
    once = add_tokens(bank, tokenizer)
    assert add_tokens(once, tokenizer).version == once.version == 2
