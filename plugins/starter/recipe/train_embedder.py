"""Train the embedder: a small CLIP (Radford et al. 2021, arXiv:2103.00020) as an OpenCLIP model of our own.

Half of the patches are dropped in training (FLIP, arXiv:2212.00794), which on a CPU buys twice the pictures; the last
part of the budget sees whole pictures. Every other batch is of one style, so that style alone tells no pair apart, and a
second loss draws two wordings of one caption together (SimCSE, arXiv:2104.08821), so that a search for words finds them.
"""

from __future__ import annotations

import json
import random
import tempfile
from pathlib import Path

import numpy as np
import open_clip
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from corpus import Corpus, load_corpus
from loop import Average, Clock, cosine, load, log, parser, save, shuffled_batches

NAME = "calumma-starter-clip"
CONTEXT = 32
MODEL = {
    "embed_dim": 128,
    "vision_cfg": {"image_size": 64, "patch_size": 8, "width": 192, "layers": 6, "head_width": 32},
    "text_cfg": {"context_length": CONTEXT, "vocab_size": 49408, "width": 128, "heads": 4, "layers": 4},
}
PREPROCESS = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "interpolation": "bicubic"}
PEAK_LR = 1.5e-3
MUON_LR = 2e-3
OPENINGS = ("a ", "a ", "an ", "the ", "one ", "a picture of a ", "a drawing of a ", "an image of ")
ONE_STYLE = 0.5  # share of batches
TEXT_LOSS = 0.5
PATCH_DROPOUT = 0.5
WHOLE_PICTURES_FROM = 0.85  # share of the budget


def build_model(config: dict = MODEL) -> nn.Module:
    """The OpenCLIP model, registered under its own name."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{NAME}.json"
        path.write_text(json.dumps(config))
        open_clip.add_model_config(path)
    return open_clip.create_model(NAME, load_weights=False)


def augment(row: dict, draw: random.Random) -> str:
    """A caption of the row: with or without style, with tags, with words dropped."""
    choice = draw.random()
    text = row["name"]
    if choice < 0.15 and row["tags"]:
        tags = draw.sample(row["tags"], min(len(row["tags"]), draw.randint(1, 3)))
        text = f"{text}, {', '.join(tags)}"
    elif choice < 0.35:
        words = text.split()
        text = " ".join(word for word in words if draw.random() > 0.2) or text
    if draw.random() < 0.3:
        text = draw.choice(OPENINGS) + text
    if draw.random() < 0.75:
        text = f"{text}, {row['style']} style"
    return text


def pictures(images: np.ndarray, rows: np.ndarray, device: str, train: bool) -> Tensor:
    """Normalised pictures [B, 3, 64, 64]; in training each moved, scaled and recoloured a little."""
    x = torch.from_numpy(np.ascontiguousarray(images[rows])).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1
    if not train:
        return x
    count = len(x)
    theta = torch.zeros(count, 2, 3, device=device)
    scale = 1 + 0.2 * (torch.rand(count, device=device) - 0.5)
    theta[:, 0, 0] = theta[:, 1, 1] = scale
    theta[:, :, 2] = 0.2 * (torch.rand(count, 2, device=device) - 0.5)
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    x = F.grid_sample(x - 1, grid, align_corners=False) + 1  # zero padding becomes white
    gain = 1 + 0.2 * (torch.rand(count, 3, 1, 1, device=device) - 0.5)
    return 1 - (1 - x) * gain


@torch.no_grad()
def embed(
    model: nn.Module, images: np.ndarray, rows: list[dict], device: str, batch: int = 128, pictures_too: bool = True
) -> tuple[Tensor, Tensor]:
    """Unit vectors of pictures and of captions, float32 [N, 128] each (pictures: zeros when not asked for)."""
    tokenizer = open_clip.SimpleTokenizer(context_length=CONTEXT)
    seen, read = [], []
    for start in range(0, len(rows), batch):
        part = np.arange(start, min(start + batch, len(rows)))
        if pictures_too:
            seen.append(model.encode_image(pictures(images, part, device, train=False), normalize=True))
        read.append(model.encode_text(tokenizer([rows[i]["text"] for i in part]).to(device), normalize=True))
    words = torch.cat(read).float().cpu()
    return (torch.cat(seen).float().cpu() if pictures_too else torch.zeros_like(words)), words


def recall(seen: Tensor, read: Tensor, pool: int = 0) -> float:
    """Share of pictures whose best caption is their own, among all or in pools of `pool`; equal captions count."""
    hits, count = 0.0, len(seen)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    for part in order.split(pool or count):
        scores = seen[part] @ read[part].T
        hits += (scores.diagonal() >= scores.max(1).values - 1e-6).sum().item()
    return hits / count


class Batches:
    """Endless batches of row numbers: epochs in random order, and between them batches of one style."""

    def __init__(self, corpus: Corpus, rows: np.ndarray, size: int, seed: int) -> None:
        self.rows, self.size = rows, size
        self.rng = np.random.default_rng(seed)
        self.mixed = shuffled_batches(len(rows), size, torch.Generator().manual_seed(seed))
        styles = np.array([corpus.rows[i]["style"] for i in rows])
        self.styles = [rows[styles == style] for style in sorted(set(styles))]

    def __next__(self) -> np.ndarray:
        if self.rng.random() >= ONE_STYLE:
            return self.rows[next(self.mixed).numpy()]
        sizes = np.array([len(group) for group in self.styles], dtype=np.float64)
        group = self.styles[int(self.rng.choice(len(self.styles), p=sizes / sizes.sum()))]
        return self.rng.choice(group, min(self.size, len(group)), replace=False)


def optimizers_of(model: nn.Module) -> list[tuple[torch.optim.Optimizer, float]]:
    """Muon for the matrices inside the blocks, AdamW for the rest; with their peak learning rates."""
    hidden = [p for name, p in model.named_parameters() if "resblocks" in name and p.ndim == 2]
    held = {id(p) for p in hidden}
    rest = [p for p in model.parameters() if id(p) not in held]
    muon = torch.optim.Muon(hidden, lr=MUON_LR, weight_decay=0.05, adjust_lr_fn="match_rms_adamw")
    return [(muon, MUON_LR), (torch.optim.AdamW(rest, PEAK_LR, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.01), PEAK_LR)]


def train(args) -> None:
    """The whole run and the export."""
    torch.manual_seed(args.seed)
    corpus = load_corpus(args.work)
    images = np.array(corpus.images)
    rows = corpus.indices("train")
    model = build_model().to(args.device).train()
    model.visual.patch_dropout = open_clip.transformer.PatchDropout(PATCH_DROPOUT)
    average = Average(model, 0.995)
    optimizers = optimizers_of(model)
    if args.init:
        model.load_state_dict(load_file(args.init))
        average.module.load_state_dict(model.state_dict())
    step, elapsed = 0, 0.0
    path = args.work / "embedder.ckpt"
    if state := load(path):
        model.load_state_dict(state["model"])
        average.module.load_state_dict(state["average"])
        for (optimizer, _), saved_state in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved_state)
        step, elapsed = state["step"], state["elapsed"]
        average.steps = step
    clock, saved, shown = Clock(args.minutes, elapsed), elapsed, 0.0
    draw = random.Random(args.seed + step)
    tokenizer = open_clip.SimpleTokenizer(context_length=CONTEXT)
    loss_of = open_clip.ClipLoss()
    batches = Batches(corpus, rows, args.batch, args.seed + step)
    log(f"embedder: {len(rows)} pictures, {sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters")
    first, started = step, clock.elapsed
    vectors = None
    if args.words_only:
        model.lock_image_tower()
        vectors = embed(model.eval(), images, corpus.rows, args.device)[0]
        model.train()
        clock = Clock(args.minutes)
    while clock.fraction < 1:
        fraction = clock.fraction
        for optimizer, peak in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = cosine(fraction, args.lr_scale * peak, warm_up=0.05)
        if fraction > WHOLE_PICTURES_FROM:
            model.visual.patch_dropout = nn.Identity()
        pick = next(batches)
        texts = tokenizer([augment(corpus.rows[i], draw) for _ in range(2) for i in pick]).to(args.device)
        with torch.autocast(args.device, dtype=torch.bfloat16):
            if vectors is None:
                seen = model.encode_image(pictures(images, pick, args.device, train=True), normalize=True)
            else:
                seen = vectors[pick].to(args.device)
            read = model.encode_text(texts, normalize=True)
        first_words, second_words = read.float().chunk(2)
        scale = model.logit_scale.exp()
        matched = loss_of(seen.float(), first_words, scale)
        loss = matched + TEXT_LOSS * loss_of(first_words, second_words, scale)
        for optimizer, _ in optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, _ in optimizers:
            optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, np.log(100))
        average.update(model)
        step += 1
        shown = 0.95 * shown + 0.05 * matched.item() if shown else matched.item()
        if step % 50 == 0:
            rate = args.batch * (step - first) / (clock.elapsed - started)
            log(f"step {step} {fraction:.1%} {rate:.0f} pairs/s loss {shown:.3f}")
        if clock.elapsed - saved > args.save_every:
            saved = clock.elapsed
            save(path, _state(model, average, optimizers, step, clock.elapsed))
    save(path, _state(model, average, optimizers, step, clock.elapsed))
    average.module.visual.patch_dropout = nn.Identity()
    export(average.module, args.work / "embedder.safetensors")
    report(average.module, corpus, images, args)


def _state(model, average, optimizers, step: int, elapsed: float) -> dict:
    return {
        "model": model.state_dict(),
        "average": average.module.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer, _ in optimizers],
        "step": step,
        "elapsed": elapsed,
    }


def export(model: nn.Module, path: Path) -> None:
    """float16 weights, OpenCLIP's configuration in the header."""
    state = {key: value.half().contiguous().cpu() for key, value in model.state_dict().items()}
    partial = path.with_name(path.name + ".partial")
    header = {"config": json.dumps({"model_cfg": MODEL, "preprocess_cfg": PREPROCESS})}
    save_file(state, partial, metadata=header)
    partial.rename(path)


def report(model: nn.Module, corpus, images: np.ndarray, args) -> None:
    """Recall@1, picture to caption, per split."""
    for split in ("unseen", "new-style", "train"):
        pick = corpus.indices(split)[: 2000 if split == "train" else None]
        seen, read = embed(model.eval(), images[pick], [corpus.rows[i] for i in pick], args.device)
        log(f"{split}: recall@1 {recall(seen, read):.3f} of {len(pick)}, {recall(seen, read, 100):.3f} in pools of 100")


def main() -> None:
    options = parser(__doc__, minutes=18, batch=128)
    options.add_argument("--init", type=Path, help="weights to start from instead of random ones")
    options.add_argument("--words-only", action="store_true", help="train the text tower alone (with --init)")
    options.add_argument("--lr-scale", type=float, default=1.0, help="factor on the learning rates")
    train(options.parse_args())


if __name__ == "__main__":
    main()
