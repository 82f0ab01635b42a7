import math

import pytest
import torch
from torch.nn import functional as F

from calumma_plugins.cm3leon.config import ModelConfig
from calumma_plugins.cm3leon.model import Transformer

TINY = ModelConfig(layers=2, width=32, heads=4, context=48, text_size=20, codebook_size=12)


def drawn(config: ModelConfig, seed: int = 0) -> Transformer:
    """A model none of whose matrices is zero."""
    model, generator = Transformer(config), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(std=0.2, generator=generator)
    return model


def reference(model: Transformer, ids: torch.Tensor) -> torch.Tensor:
    """Logits float64 [L, V] of one row, written out: no batch, no kernels, no cache."""
    w = {name: value.double() for name, value in model.state_dict().items()}

    def norm(x: torch.Tensor) -> torch.Tensor:
        centred = x - x.mean(-1, keepdim=True)
        return centred / (centred.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt()

    x = w["embed.weight"][ids] + w["position.weight"][: len(ids)]
    for layer in range(model.config.layers):
        block = f"blocks.{layer}."
        q, k, v = (norm(x) @ w[block + "qkv.weight"].T).chunk(3, -1)
        heads = []
        for one_q, one_k, one_v in zip(*(t.chunk(model.config.heads, -1) for t in (q, k, v)), strict=True):
            scores = one_q @ one_k.T / math.sqrt(one_q.shape[-1])
            scores = scores.masked_fill(torch.ones_like(scores).triu(1) > 0, -math.inf)
            heads.append(scores.softmax(-1) @ one_v)
        x = x + torch.cat(heads, -1) @ w[block + "attention_out.weight"].T
        inner = norm(x) @ w[block + "ffn_in.weight"].T
        inner = inner * 0.5 * (1 + torch.erf(inner / math.sqrt(2)))
        x = x + inner @ w[block + "ffn_out.weight"].T
    return norm(x) @ w.get("output.weight", w["embed.weight"]).T


def close(got: torch.Tensor, wanted: torch.Tensor) -> bool:
    return bool((got.double() - wanted).abs().max() <= 2e-5 * wanted.abs().max())


@pytest.mark.parametrize("tied", [True, False])
def test_it_computes_what_the_paper_says(tied: bool) -> None:
    model = drawn(TINY.model_copy(update={"tied": tied}))
    ids = torch.randint(0, TINY.vocabulary.size, (3, 40))
    logits = model(ids)
    assert logits.dtype == torch.float32
    for row in range(3):
        assert close(logits[row], reference(model, ids[row]))


def test_the_papers_sizes_have_the_papers_parameters() -> None:
    counts = {"350m": 372_244_480, "760m": 784_859_136, "7b": 6_723_469_312}
    for size, count in counts.items():
        config = ModelConfig.named(size, text_size=56320, codebook_size=8192)
        assert config.parameters - 517 * config.width == count  # the paper counts no specials
    assert sum(p.numel() for p in Transformer(TINY).parameters()) == TINY.parameters


def test_weights_start_as_in_the_paper() -> None:
    model = Transformer(ModelConfig(layers=2, width=128, heads=4, context=256, text_size=500, codebook_size=50))
    for block in model.blocks:
        assert not block.attention_out.weight.any()
        assert not block.ffn_out.weight.any()
        assert 0.0055 < block.qkv.weight.std() < 0.0062
        assert block.ffn_in.weight.abs().max() <= 3 * 0.006
    assert 0.00018 < model.position.weight.std() < 0.00021
    assert all("bias" not in name for name, _ in model.named_parameters())


def test_packed_samples_do_not_see_each_other() -> None:
    model, lengths = drawn(TINY), [7, 12, 9]
    rows = [torch.randint(0, 32, (length,)) for length in lengths]
    pad = torch.full((4,), TINY.vocabulary.pad)
    ids = torch.cat([*rows, pad])[None]
    positions = torch.cat([*(torch.arange(n) for n in lengths), torch.zeros(4, dtype=torch.int64)])[None]
    sample = torch.cat([*(torch.full((n,), i) for i, n in enumerate(lengths)), torch.full((4,), -1)])[None]
    packed = model(ids, positions, sample)[0]
    assert torch.isfinite(packed).all()
    for row, part in zip(rows, packed.split([*lengths, 4]), strict=False):
        assert close(part, reference(model, row))


def test_padding_never_matters() -> None:
    model = drawn(TINY)
    ids = torch.randint(0, 32, (2, 20))
    sample = torch.zeros(2, 20, dtype=torch.int64)
    sample[1, 11:] = -1
    other = ids.clone()
    other[1, 11:] = TINY.vocabulary.pad
    positions = torch.arange(20).expand(2, 20)
    assert torch.equal(model(ids, positions, sample)[1, :11], model(other, positions, sample)[1, :11])
    assert close(model(other, positions, sample)[1, :11], reference(model, ids[1, :11]))


@pytest.mark.parametrize("checkpointing", [False, True])
def test_it_learns_a_sequence_by_heart(checkpointing: bool) -> None:
    torch.manual_seed(0)
    model = Transformer(TINY.model_copy(update={"init_std": 0.05}))
    model.checkpointing = checkpointing
    ids = torch.randint(0, 32, (1, 24))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(60):
        loss = F.cross_entropy(model(ids)[0, :-1], ids[0, 1:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.2
