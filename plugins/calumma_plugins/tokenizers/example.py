"""A byte-level BPE trained on a handful of words: for contracts, the docs, and trying out."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

TEXTS = ("a red apple, noto style", "a green apple", "the red mask")


def tiny(folder: Path) -> dict[str, str]:
    """Options of a tokenizer whose file, as many do, holds what must not count: an id around every text, a length for all."""
    path = folder / "tokenizer.json"
    write_bpe(path, TEXTS * 4)
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.post_processor = processors.BertProcessing(("<mask:0>", 0), ("<mask:0>", 0))
    tokenizer.enable_truncation(8)
    tokenizer.enable_padding(length=8)
    tokenizer.save(str(path))
    return {"file": str(path)}


def write_bpe(path: Path, texts: Iterable[str]) -> None:
    """Writes a tokenizer.json of at most 300 entries: "<mask:0>", 256 bytes, and what is frequent in the texts."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<mask:0>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.save(str(path))
