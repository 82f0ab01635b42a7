"""Train the decoder: a small causal transformer on retrieved documents and samples under the CM3 objective.

What counts on a CPU is ids per second: forward and backward run in bfloat16 on a copy of float32 master weights, rows
are sorted by length, and image ids are mostly scored against image ids and structure only (the full vocabulary every
few steps keeps the other logits honest). Hidden matrices are optimised by Muon, embeddings by AdamW.
"""

from __future__ import annotations

import copy
import json

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F

from calumma_plugins.cm3leon.model import Transformer
from corpus import load_corpus
from loop import Average, Clock, cosine, load, log, parser, save
from model import CONFIG, export, vocabulary
from samples import Batch, Shard, batches, pad

MUON_LR = 2e-3
ADAM_LR = 2e-3
FULL_EVERY = 8  # steps between those that score image ids against the whole vocabulary


def losses(model: Transformer, batch: Batch, full: bool, device: str) -> tuple[Tensor, Tensor]:
    """Mean loss over all weighted targets, and over image targets alone (nats)."""
    ids, weight = batch.ids.to(device), batch.weight.to(device)
    states = model.hidden(ids)[:, :-1]
    targets, weight = ids[:, 1:], weight[:, 1:] > 0
    table = model.embed.weight
    low, high = vocabulary.text_size, vocabulary.eoss + 1
    image = (targets >= low) & (targets < vocabulary.content_size) & weight
    other = weight & ~image
    if full:
        image_loss = F.cross_entropy((states[image] @ table.T).float(), targets[image], reduction="sum")
    else:
        logits = states[image] @ table[low:high].T
        image_loss = F.cross_entropy(logits.float(), targets[image] - low, reduction="sum")
    other_loss = F.cross_entropy((states[other] @ table.T).float(), targets[other], reduction="sum")
    pictures, rest = int(image.sum()), int(other.sum())
    return (image_loss + other_loss) / (pictures + rest), image_loss.detach() / max(1, pictures)


@torch.no_grad()
def evaluate(model: Transformer, shard: Shard, count: int, retrieved: int, device: str) -> float:
    """Loss of the picture's ids given its caption and the best `retrieved` documents, on every n-th sample (nats)."""
    total, steps = 0.0, 0
    for part in np.array_split(np.arange(len(shard))[:: max(1, len(shard) // count)], 4):
        sequences = []
        for index in part.tolist():
            sequence = shard.sequence(index, shard.retrieved(index, retrieved))
            sequence.loss_weight[: -len(shard.image(index)) - 1] = 0.0
            sequences.append(sequence)
        total += float(losses(model, pad(sequences, vocabulary), True, device)[1])
        steps += 1
    return total / steps


class Optimizer:
    """float32 masters of a bfloat16 model: Muon for hidden matrices, AdamW for embeddings."""

    def __init__(self, model: Transformer, master: nn.Module) -> None:
        self.model, self.master = list(model.parameters()), list(master.parameters())
        tables = [p for name, p in master.named_parameters() if not name.startswith("blocks.")]
        held = {id(p) for p in tables}
        hidden = [p for p in self.master if id(p) not in held]
        self.muon = torch.optim.Muon(hidden, lr=MUON_LR, weight_decay=0.02, adjust_lr_fn="match_rms_adamw")
        self.adam = torch.optim.AdamW(tables, lr=ADAM_LR, betas=(0.9, 0.95), weight_decay=0.0)

    def step(self, fraction: float) -> None:
        """One update at this share of the budget; gradients are those of the bfloat16 copy."""
        for own, copied in zip(self.master, self.model, strict=True):
            own.grad = copied.grad.float()
            copied.grad = None
        for optimizer, peak in ((self.muon, MUON_LR), (self.adam, ADAM_LR)):
            for group in optimizer.param_groups:
                group["lr"] = cosine(fraction, peak, warm_up=0.02)
        nn.utils.clip_grad_norm_(self.master, 1.0)
        self.muon.step()
        self.adam.step()
        self.publish()

    @torch.no_grad()
    def publish(self) -> None:
        """Masters into the bfloat16 copy."""
        torch._foreach_copy_(self.model, self.master)

    def state(self) -> dict:
        return {"muon": self.muon.state_dict(), "adam": self.adam.state_dict()}

    def restore(self, state: dict) -> None:
        self.muon.load_state_dict(state["muon"])
        self.adam.load_state_dict(state["adam"])


def train(args) -> None:
    """The whole run and the export."""
    torch.manual_seed(args.seed)
    shard = Shard(args.work / "train.safetensors", vocabulary)
    shard.reword(load_corpus(args.work).rows, Tokenizer.from_file(str(args.work / "bpe.json")))
    held = Shard(args.work / "held-out.safetensors", vocabulary, shard)
    master = Transformer(CONFIG).to(args.device)
    average = Average(master, 0.998)
    step, elapsed = 0, 0.0
    path = args.work / "decoder.ckpt"
    state = load(path)
    if state:
        master.load_state_dict(state["model"])
        average.module.load_state_dict(state["average"])
        step, elapsed = state["step"], state["elapsed"]
        average.steps = step
    model = copy.deepcopy(master).to(torch.bfloat16)
    optimizer = Optimizer(model, master)
    if state:
        optimizer.restore(state["optimizer"])

    def checkpoint() -> dict:
        return {
            "model": master.state_dict(),
            "average": average.module.state_dict(),
            "optimizer": optimizer.state(),
            "step": step,
            "elapsed": clock.elapsed,
        }

    clock, saved = Clock(args.minutes, elapsed), elapsed
    rows = batches(shard, args.batch, args.seed + step, CONFIG.context)
    log(f"decoder: {len(shard)} samples, {sum(p.numel() for p in master.parameters()) / 1e6:.2f} M parameters")
    seen, samples, since, mean, image_mean = 0, 0, clock.elapsed, 0.0, 0.0
    while clock.fraction < 1:
        batch = next(rows)
        loss, image_loss = losses(model, batch, step % FULL_EVERY == 0, args.device)
        loss.backward()
        optimizer.step(clock.fraction)
        average.update(master)
        step += 1
        seen += int((batch.ids != vocabulary.pad).sum())
        samples += len(batch.ids)
        mean = 0.98 * mean + 0.02 * loss.item() if mean else loss.item()
        image_mean = 0.98 * image_mean + 0.02 * image_loss.item() if image_mean else image_loss.item()
        if step % 25 == 0:
            rate = seen / (clock.elapsed - since)
            log(f"step {step} {clock.fraction:.1%} {rate:.0f} ids/s loss {mean:.3f} image {image_mean:.3f} samples {samples}")
        if clock.elapsed - saved > args.save_every:
            saved = clock.elapsed
            save(path, checkpoint())
    save(path, checkpoint())
    export(average.module, args.work)
    report = {
        f"{name}, {k} retrieved": round(evaluate(average.module, s, 400, k, args.device), 3)
        for name, s in (("train", shard), ("held-out", held))
        for k in range(3)
    }
    log(f"image loss in nats per id: {json.dumps(report)}")


def main() -> None:
    train(parser(__doc__, minutes=55, batch=4800).parse_args())


if __name__ == "__main__":
    main()
