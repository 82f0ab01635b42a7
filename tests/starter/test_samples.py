"""Training rows are the layout's sequences."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from calumma.documents import Document, Image, Text
from calumma.documents.cm3leon import CM3LeonLayout

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "plugins/starter/recipe"))

from samples import Shard, batches


class _Words:
    """A text tokenizer whose texts are decimal ids."""

    size = 300

    def encode(self, text: str) -> list[int]:
        return [int(word) for word in text.split()]

    def decode(self, ids: list[int]) -> str:
        return " ".join(map(str, ids))


def _shard(folder: Path, layout: CM3LeonLayout, rows: int = 20) -> Shard:
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(1, 12, (rows,), generator=generator)
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
    tensors = {
        "row": torch.arange(rows),
        "text_ids": torch.randint(0, 300, (int(offsets[-1]),), generator=generator, dtype=torch.int32),
        "text_offsets": offsets,
        "image_codes": torch.randint(0, 50, (rows, 16), generator=generator, dtype=torch.int32),
        "neighbours": torch.randint(-1, rows, (rows, 4), generator=generator, dtype=torch.int32),
    }
    save_file(tensors, folder / "train.safetensors")
    return Shard(folder / "train.safetensors", layout.vocabulary)


def _document(shard: Shard, index: int) -> Document:
    codes = (shard.image(index) - shard.vocabulary.text_size).reshape(4, 4)
    return Document((Text(" ".join(map(str, shard.text(index)))), Image(tokens={"t": codes})))


def test_a_sample_is_what_the_layout_encodes(tmp_path: Path) -> None:
    layout = CM3LeonLayout(_Words(), 50, (4, 4), "t", 256)
    shard = _shard(tmp_path, layout)
    for index in range(len(shard)):
        documents = shard.retrieved(index, 2)
        expected = layout.encode(_document(shard, index), [_document(shard, one) for one in documents])
        made = shard.sequence(index, documents)
        assert (made.ids == expected.ids).all()
        assert (made.part == expected.part).all()
        assert (made.loss_weight == expected.loss_weight).all()


def test_batches_are_right_padded_and_padding_has_no_loss(tmp_path: Path) -> None:
    shard = _shard(tmp_path, CM3LeonLayout(_Words(), 50, (4, 4), "t", 256))
    pad = shard.vocabulary.pad
    stream = batches(shard, tokens=400, seed=0, context=256)
    for _ in range(8):
        batch = next(stream)
        padding = batch.ids == pad
        assert (batch.weight[padding] == 0).all()
        assert (padding.int().diff(dim=1) >= 0).all()
        assert np.prod(batch.ids.shape) <= 400
