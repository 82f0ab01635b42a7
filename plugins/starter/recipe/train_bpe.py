"""Train the byte-level BPE on captions, tags and every task template.

All 256 bytes are in the vocabulary, so any text is encodable; training on the templates makes them short.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from corpus import load_corpus
from fetch import WORK

VOCABULARY = 4096
STYLES = ("noto", "twitter", "fluent", "openmoji", "clipart")
TEMPLATES = (
    "Edit first image following the instruction",
    'draw "red apple"',
    "Generate high quality image of red apple with segmentations apple at (10, 20) -> (30, 40), leaf at (0, 5) -> (6, 9)",
    *(
        f"Make high quality image from {structure} features"
        for structure in ("canny edge", "hed", "depth", "3D norm", "openpose", "scribble")
    ),
    "Make high quality image from a segmentation map",
    "Describe the given picture. ",
    "Describe all the objects in the given image in very detail.",
    "Question: What is this? Answer: a red apple.",
    "Question: Which style is this drawn in? The answer is noto.",
    "Image of a chameleon: ",
    *(f"{verb} {style} style" for verb in ("make it", "draw it in", "turn it into") for style in STYLES),
)


def texts(work: Path):
    """The training texts: captions and tags of the training split, templates often enough to be merged."""
    corpus = load_corpus(work)
    for i in corpus.indices("train"):
        row = corpus.rows[i]
        yield row["text"]
        yield ", ".join(row["tags"])
    for template in TEMPLATES:
        yield from [template] * 200


def train(work: Path) -> Tokenizer:
    """Train, check that everything round-trips, and write `bpe.json`."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts(work), trainer)
    for text in (*TEMPLATES, "Ünïcode, naïve 日本 \x00\t\n emoji 🦎", '"} {((x0, y0) -> (x1, y1))'):
        if tokenizer.decode(tokenizer.encode(text).ids) != text:
            raise SystemExit(f"the tokenizer does not give back {text!r}")
    partial = work / "bpe.json.partial"
    tokenizer.save(str(partial))
    partial.rename(work / "bpe.json")
    return tokenizer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=WORK)
    args = parser.parse_args()
    tokenizer = train(args.work)
    rows = load_corpus(args.work).rows
    lengths = [len(encoding.ids) for encoding in tokenizer.encode_batch([row["text"] for row in rows])]
    mean = sum(lengths) / len(lengths)
    print(f"bpe: {tokenizer.get_vocab_size()} entries; captions of {mean:.1f} tokens, {max(lengths)} at most")


if __name__ == "__main__":
    main()
