"""Export the corpus as token shards: ids of captions and pictures, and the neighbours that training retrieves.

Pictures are encoded from the WebP files that the banks are built from, so that training sees the ids that retrieval
will give. Neighbours are found as the paper says (arXiv:2309.02591, 2.1): by the text and by the image of a sample,
against the renormalised mean of a document's text and image vectors.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional as F

from corpus import Corpus, load_corpus
from fetch import WORK
from loop import log

SCORE_CAP = 1.0  # on query . document: off, because this small CLIP puts the best documents above the paper's 0.9
TEXT_CAP = 0.998  # on text . text: excludes the same caption, allows the same concept in another style
IMAGE_CAP = 0.998  # on image . image
DIVERSITY_CAP = 0.97  # on document . document among what is taken
BY_TEXT, BY_IMAGE = 6, 3
CANDIDATES = 256
QUERY_DROPOUT = 0.2


def bank_pictures(corpus: Corpus, work: Path) -> np.ndarray:
    """Pictures as the banks hold them (after WebP), uint8 [N, 64, 64, 3], in corpus order."""
    names: dict[str, Path] = {}
    for folder in (work / "folder/memory", work / "folder/held-out"):
        for line in (folder / "metadata.jsonl").read_text().splitlines():
            row = json.loads(line)
            names[row["id"]] = folder / row["file_name"]
    return np.stack([np.asarray(Image.open(names[row["id"]]).convert("RGB")) for row in corpus.rows])


@torch.no_grad()
def encode_pictures(images: np.ndarray, work: Path, device: str) -> Tensor:
    """Codes int64 [N, 64] by the trained tokenizer, in float32."""
    from train_tokenizer import CONFIG, VQModel, to_batch

    model = VQModel(CONFIG).eval()
    model.load_state_dict(load_file(work / "tokenizer.safetensors"))
    model.to(device)
    parts = np.array_split(np.arange(len(images)), max(1, len(images) // 128))
    return torch.cat([model.encode(to_batch(images, part, device)).flatten(1).cpu() for part in parts])


@torch.no_grad()
def vectors(corpus: Corpus, images: np.ndarray, work: Path, device: str) -> tuple[Tensor, Tensor, Tensor]:
    """Unit vectors of pictures, captions and captions with words dropped, float32 [N, D] each."""
    from train_embedder import build_model, embed

    with safe_open(work / "embedder.safetensors", "pt") as file:
        config = json.loads(file.metadata()["config"])["model_cfg"]
    model = build_model(config).eval()
    model.load_state_dict(load_file(work / "embedder.safetensors"))
    model.to(device)
    seen, read = embed(model, images, corpus.rows, device)
    draw = random.Random(0)
    dropped = []
    for row in corpus.rows:
        words = row["text"].split()
        dropped.append({"text": " ".join(word for word in words if draw.random() > QUERY_DROPOUT) or row["text"]})
    _, partial = embed(model, images, dropped, device, pictures_too=False)
    return seen, read, partial


def neighbours(
    seen: Tensor, read: Tensor, query: Tensor, rows: Tensor, bank: Tensor, count: int, caps: tuple[float, float]
) -> Tensor:
    """Row numbers int32 [len(rows), count] of the documents taken for each row, best first, -1 where there are none.

    Args:
        seen, read: image and text vectors of all rows; query: what is asked with, for all rows.
        rows: whom to find neighbours for; bank: the rows that may be found.
        caps: the most a candidate's text (image) may resemble the row's own text (image).
    """
    document = F.normalize(seen + read, dim=1)
    taken = torch.full((len(rows), count), -1, dtype=torch.int32)
    for at in range(0, len(rows), 512):
        part = rows[at : at + 512]
        scores = query[part] @ document[bank].T
        top, index = scores.topk(min(CANDIDATES, len(bank)), dim=1)
        candidate = bank[index]
        same_text = torch.einsum("bd,bcd->bc", read[part], read[candidate])
        same_image = torch.einsum("bd,bcd->bc", seen[part], seen[candidate])
        allowed = (top <= SCORE_CAP) & (same_text <= caps[0]) & (same_image <= caps[1])
        allowed &= candidate != part.unsqueeze(1)
        for row in range(len(part)):
            chosen: list[int] = []
            for other in candidate[row][allowed[row]].tolist():
                if all(float(document[other] @ document[c]) <= DIVERSITY_CAP for c in chosen):
                    chosen.append(other)
                    if len(chosen) == count:
                        break
            taken[at + row, : len(chosen)] = torch.tensor(chosen, dtype=torch.int32)
    return taken


def describe_similarity(corpus: Corpus, read: Tensor) -> dict[str, list[float]]:
    """Text-text cosine quantiles (1, 50, 99 %) of same-concept-other-style captions and of near captions."""
    by_name: dict[str, list[int]] = {}
    for i, row in enumerate(corpus.rows):
        by_name.setdefault(row["name"], []).append(i)
    draw = random.Random(0)
    other_style = []
    for group in by_name.values():
        pairs = [(a, b) for a in group for b in group if corpus.rows[a]["style"] < corpus.rows[b]["style"]]
        other_style += draw.sample(pairs, min(2, len(pairs)))
    same_style = []
    styles: dict[tuple[str, str], list[int]] = {}
    for i, row in enumerate(corpus.rows):
        styles.setdefault((row["concept"], row["style"]), []).append(i)
    for group in styles.values():
        pairs = [(a, b) for a in group for b in group if a < b and corpus.rows[a]["name"] != corpus.rows[b]["name"]]
        same_style += draw.sample(pairs, min(2, len(pairs)))

    def quantiles(pairs: list[tuple[int, int]]) -> list[float]:
        left, right = torch.tensor(pairs).T
        return [round(float(q), 3) for q in (read[left] * read[right]).sum(1).quantile(torch.tensor([0.01, 0.5, 0.99]))]

    return {"same name, other style": quantiles(other_style), "variant of the concept, same style": quantiles(same_style)}


def shard(corpus: Corpus, rows: Tensor, codes: Tensor, found: Tensor, tokenizer: Tokenizer, path: Path) -> None:
    """One split as flat arrays; `neighbours` are positions in the training shard."""
    texts = [encoding.ids for encoding in tokenizer.encode_batch([corpus.rows[i]["text"] for i in rows.tolist()])]
    offsets = torch.tensor([0, *np.cumsum([len(ids) for ids in texts]).tolist()])
    tensors = {
        "row": rows,
        "text_ids": torch.tensor([i for ids in texts for i in ids], dtype=torch.int32),
        "text_offsets": offsets,
        "image_codes": codes[rows].to(torch.int32).contiguous(),
        "neighbours": found.contiguous(),
    }
    partial = path.with_name(path.name + ".partial")
    save_file(tensors, partial)
    partial.rename(path)


def run(work: Path, device: str) -> None:
    """Codes, vectors, neighbours, shards; codes and vectors are kept in the work folder."""
    corpus = load_corpus(work)
    images = bank_pictures(corpus, work)
    kept = work / "codes.npy"
    if kept.exists() and kept.stat().st_mtime > (work / "tokenizer.safetensors").stat().st_mtime:
        codes = torch.from_numpy(np.load(kept))
    else:
        codes = encode_pictures(images, work, device)
        np.save(kept, codes.numpy())
    log(f"encoded {len(codes)} pictures, {len(codes.unique())} codes in use")
    seen, read, partial = vectors(corpus, images, work, device)
    log(f"text-text cosine, 1/50/99 % quantiles: {describe_similarity(corpus, read)}")
    tokenizer = Tokenizer.from_file(str(work / "bpe.json"))
    bank = torch.from_numpy(corpus.indices("train"))
    position = torch.full((len(corpus.rows),), -1, dtype=torch.int32)
    position[bank] = torch.arange(len(bank), dtype=torch.int32)
    for name, splits in (("train", ("train",)), ("held-out", ("unseen", "new-style"))):
        rows = torch.from_numpy(corpus.indices(*splits))
        caps = (TEXT_CAP, IMAGE_CAP)
        parts = [neighbours(seen, read, read, rows, bank, BY_TEXT, caps)]
        if name == "train":
            parts.append(neighbours(seen, read, partial, rows, bank, BY_TEXT // 2, caps))
            parts.append(neighbours(seen, read, seen, rows, bank, BY_IMAGE, caps))
        found = torch.cat(parts, 1).long()
        found = torch.where(found >= 0, position[found.clamp(min=0)].long(), -1).to(torch.int32)
        shard(corpus, rows, codes, found, tokenizer, work / f"{name}.safetensors")
        log(f"{name}: {len(rows)} samples, {(found >= 0).float().sum(1).mean():.2f} neighbours each")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    run(args.work, args.device)


if __name__ == "__main__":
    main()
