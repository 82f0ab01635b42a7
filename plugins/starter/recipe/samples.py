"""Token shards to training rows: retrieved documents before each sample, the CM3 objective, length-sorted batches.

Sequences are those of the CM3Leon layout, written here from arrays because the loop makes tens of them a second; a
test holds the two equal.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file
from tokenizers import Tokenizer
from torch import Tensor

from calumma.documents.layout import TokenSequence
from calumma.documents.vocabulary import Vocabulary
from objective import cm3

MOST_RETRIEVED = 2
REWORDED = 1 / 3  # share of samples whose caption is worded as a user might


@dataclass(frozen=True)
class Batch:
    """Right-padded rows: ids int64 [B, L] and the weight of predicting each id, float32 [B, L] (0 for padding)."""

    ids: Tensor
    weight: Tensor


class Shard:
    """One exported split, and the training shard that its neighbours point into."""

    def __init__(self, path: Path, vocabulary: Vocabulary, bank: Shard | None = None) -> None:
        data = load_file(path)
        self.vocabulary = vocabulary
        self.rows = data["row"]
        self.neighbours = data["neighbours"]
        self._text = data["text_ids"].astype(np.int64)
        self._offsets = data["text_offsets"]
        self._codes = data["image_codes"].astype(np.int64)
        self._bank = bank or self
        self._wordings: list[list[np.ndarray]] | None = None

    def reword(self, corpus: Sequence[dict], tokenizer: Tokenizer) -> None:
        """Let `wording` draw other forms of the captions: prompts come without a style, and with articles."""
        forms = [
            [form.format(**corpus[row]) for row in self.rows]
            for form in ("{name}", "a {name}", "a {name}, {style} style", "the {name}, {style} style")
        ]
        encoded = [[np.array(one.ids, np.int64) for one in tokenizer.encode_batch(texts)] for texts in forms]
        self._wordings = [list(wordings) for wordings in zip(*encoded, strict=True)]

    def wording(self, index: int, rng: np.random.Generator) -> np.ndarray | None:
        """Another form of a caption's ids, or None for the caption as it is (2 of 3 times, and always unless `reword`)."""
        if self._wordings is None or rng.random() > REWORDED:
            return None
        return self._wordings[index][int(rng.integers(len(self._wordings[index])))]

    def __len__(self) -> int:
        return len(self.rows)

    def text(self, index: int) -> np.ndarray:
        """Caption ids, int64 [n]."""
        return self._text[self._offsets[index] : self._offsets[index + 1]]

    def image(self, index: int) -> np.ndarray:
        """Image ids of the vocabulary, int64 [64]."""
        return self._codes[index] + self.vocabulary.text_size

    def retrieved(self, index: int, count: int, rng: np.random.Generator | None = None) -> list[int]:
        """Neighbours in the training shard: the best `count`, or random ones when `rng` is given; fewer if there are fewer."""
        found = self.neighbours[index]
        found = np.unique(found[found >= 0]) if rng is not None else found[found >= 0]
        return (rng.permutation(found) if rng is not None else found)[:count].tolist()

    def prefix(self, documents: Sequence[int]) -> list[np.ndarray]:
        """`<eos> (doc_text <break> doc_image <break>)*`."""
        brk = np.array([self.vocabulary.break_])
        parts = [np.array([self.vocabulary.eos])]
        for document in documents:
            parts += [self._bank.text(document), brk, self._bank.image(document), brk]
        return parts

    def sequence(self, index: int, documents: Sequence[int], text: np.ndarray | None = None) -> TokenSequence:
        """The whole sample, unmasked, as `CM3LeonLayout.encode` writes it; `text` replaces the caption's ids."""
        before = self.prefix(documents)
        text, image = self.text(index) if text is None else text, self.image(index)
        ids = np.concatenate([*before, text, [self.vocabulary.break_], image, [self.vocabulary.eos]])
        start = sum(len(part) for part in before)
        part = np.full(len(ids), -1)
        part[start : start + len(text)] = 0
        part[start + len(text) + 1 : -1] = 1
        weight = np.ones(len(ids), np.float32)
        weight[0] = 0.0
        return TokenSequence(ids, np.arange(len(ids)), np.zeros(len(ids), np.int64), part, weight)


def pad(sequences: Sequence[TokenSequence], vocabulary: Vocabulary) -> Batch:
    """Rows of one length."""
    length = max(len(sequence) for sequence in sequences)
    ids = torch.full((len(sequences), length), vocabulary.pad, dtype=torch.int64)
    weight = torch.zeros(len(sequences), length)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = torch.from_numpy(sequence.ids)
        weight[row, : len(sequence)] = torch.from_numpy(sequence.loss_weight)
    return Batch(ids, weight)


def batches(shard: Shard, tokens: int, seed: int, context: int, pool: int = 1024) -> Iterator[Batch]:
    """Endless batches of about `tokens` ids: every epoch in a new order, 0, 1 or 2 retrieved documents each."""
    rng = np.random.default_rng(seed)
    while True:
        order = rng.permutation(len(shard))
        for at in range(0, len(order), pool):
            made = []
            for index in order[at : at + pool].tolist():
                documents = shard.retrieved(index, int(rng.integers(MOST_RETRIEVED + 1)), rng)
                sample = cm3(shard.sequence(index, documents, shard.wording(index, rng)), shard.vocabulary, rng)
                if len(sample) <= context:
                    made.append(sample)
            made.sort(key=len)
            groups: list[list[TokenSequence]] = [[]]
            for sample in made:
                if len(sample) * (len(groups[-1]) + 1) > tokens:
                    groups.append([])
                groups[-1].append(sample)
            for group in rng.permutation(len(groups)):
                yield pad(groups[group], shard.vocabulary)
