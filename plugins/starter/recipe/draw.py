"""Draw a sheet from the decoder's checkpoint while it trains: rows of 0, 1 and 2 retrieved documents, then the truth.

A plain loop without a cache, for the eye only; the library's samplers are what users run.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from calumma_plugins.cm3leon.model import Transformer
from corpus import load_corpus
from fetch import WORK
from loop import load
from model import CONFIG, vocabulary
from samples import Shard
from train_tokenizer import CONFIG as TOKENIZER
from train_tokenizer import VQModel


@torch.no_grad()
def draw(model: Transformer, prompts: list[np.ndarray], guidance: float, top_p: float, cells: int = 64) -> Tensor:
    """Codes int64 [N, cells] of prompts of one length, guided by the same prompt with the caption masked."""
    drawn = []
    for conditional, unconditional in prompts:
        ids = [torch.from_numpy(row)[None] for row in (conditional, unconditional)]
        for _ in range(cells):
            logits = [model.head(model.hidden(row)[:, -1]) for row in ids]
            low, high = (part[:, vocabulary.text_size : vocabulary.content_size] for part in (logits[1], logits[0]))
            probabilities = (low + guidance * (high - low)).softmax(-1)
            order = probabilities.argsort(descending=True)
            ranked = probabilities.gather(1, order)
            ranked[ranked.cumsum(1) - ranked > top_p] = 0
            code = order.gather(1, torch.multinomial(ranked, 1)) + vocabulary.text_size
            ids = [torch.cat([row, code], 1) for row in ids]
        drawn.append(ids[0][0, -cells:] - vocabulary.text_size)
    return torch.stack(drawn)


def prompts_of(shard: Shard, index: int, retrieved: int) -> tuple[np.ndarray, np.ndarray]:
    """The conditional and the unconditional stream of a caption."""
    before = shard.prefix(shard.retrieved(index, retrieved))
    brk = [vocabulary.break_]
    return np.concatenate([*before, shard.text(index), brk]), np.concatenate([*before, [vocabulary.mask(0)], brk])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--guidance", type=float, default=3.0)
    parser.add_argument("--top-p", type=float, default=0.9)
    parser.add_argument("--shard", choices=["train", "held-out"], default="train")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("sheet.png"))
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    corpus = load_corpus(args.work)
    train = Shard(args.work / "train.safetensors", vocabulary)
    shard = train if args.shard == "train" else Shard(args.work / "held-out.safetensors", vocabulary, train)
    model = Transformer(CONFIG).eval()
    model.load_state_dict(load(args.work / "decoder.ckpt")["average"])
    tokenizer = VQModel(TOKENIZER).eval()
    tokenizer.load_state_dict(load_file(args.work / "tokenizer.safetensors"))
    chosen = np.random.default_rng(args.seed).choice(len(shard), args.count, replace=False).tolist()
    rows = [np.stack([corpus.images[shard.rows[i]] for i in chosen])]
    for retrieved in range(3):
        codes = draw(model, [prompts_of(shard, i, retrieved) for i in chosen], args.guidance, args.top_p)
        with torch.no_grad():
            pixels = (tokenizer.decode(codes.view(-1, 8, 8)).clamp(-1, 1) + 1) * 127.5
        rows.append(pixels.permute(0, 2, 3, 1).round().byte().numpy())
    nearest = [shard.retrieved(i, 1) for i in chosen]
    blank = np.full((64, 64, 3), 255, np.uint8)
    rows.append(np.stack([corpus.images[train.rows[n[0]]] if n else blank for n in nearest]))
    Image.fromarray(np.concatenate([np.concatenate(list(row), 1) for row in rows])).save(args.out)
    for i, n in zip(chosen, nearest, strict=True):
        best = corpus.rows[train.rows[n[0]]]["text"] if n else "-"
        print(f"{corpus.rows[shard.rows[i]]['text']} ({corpus.rows[shard.rows[i]]['split']}) <- {best}")


if __name__ == "__main__":
    main()
