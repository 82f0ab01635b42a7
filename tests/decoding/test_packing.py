"""Weights in the layout that a CPU reads fastest: the same products, and never those of yesterday."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from calumma.interfaces import Asset, Packed
from calumma_plugins.cm3leon import packing
from calumma_plugins.cm3leon.decoder import CM3LeonDecoder
from calumma_plugins.cm3leon.options import CM3LeonDecoderOptions
from calumma_plugins.cm3leon.weights import save_weights

from .test_model import TINY, drawn

PROMPT = np.arange(7)
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 1e-2}

pytestmark = pytest.mark.skipif(not packing.can_pack("cpu", torch.float32), reason="torch has no oneDNN here")


@pytest.fixture
def decoder(tmp_path: Path) -> CM3LeonDecoder:
    path = tmp_path / "drawn.safetensors"
    save_weights(path, drawn(TINY), TINY, {})
    return CM3LeonDecoder(CM3LeonDecoderOptions(weights=Asset(path.name, path)))


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("rows", [1, 2, 7, 33])
def test_the_product_is_that_of_the_weights(rows: int, dtype: torch.dtype) -> None:
    if not packing.can_pack("cpu", dtype):
        pytest.skip("this CPU multiplies no bfloat16")
    draw = torch.Generator().manual_seed(rows)
    layer = nn.Linear(48, 130, bias=False).to(dtype)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(130, 48, generator=draw))
        x = torch.randn(rows, 3, 48, generator=draw).to(dtype)
        got, wanted = packing.PackedWeights([layer], release=False)(layer, x), layer(x)
    assert got.shape == wanted.shape
    assert got.dtype == dtype
    assert (got - wanted).abs().max() <= TOLERANCE[dtype] * wanted.abs().max()


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("more", [{"gelu": True}, {"add": True}, {"gelu": True, "add": True}])
def test_what_follows_a_product_is_what_follows_that_of_the_weights(more: dict[str, object], dtype: torch.dtype) -> None:
    if not packing.can_pack("cpu", dtype):
        pytest.skip("this CPU multiplies no bfloat16")
    draw = torch.Generator().manual_seed(5)
    layer = nn.Linear(48, 130, bias=False).to(dtype)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(130, 48, generator=draw))
        x, there = (torch.randn(2, 3, width, generator=draw).to(dtype) for width in (48, 130))
        before = there.clone()
        asked = {**more, "add": there} if "add" in more else more
        got = packing.PackedWeights([layer], release=False)(layer, x, **asked)
        wanted = packing.dense(layer, x, **asked)
    assert (got - wanted).abs().max() <= TOLERANCE[dtype] * wanted.abs().max()
    assert torch.equal(there, before), "what is added was written to"


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_released_weights_come_back_as_they_were(dtype: torch.dtype) -> None:
    if not packing.can_pack("cpu", dtype):
        pytest.skip("this CPU multiplies no bfloat16")
    layer = nn.Linear(48, 130, bias=False).to(dtype)
    before, weight = layer.weight.detach().clone(), layer.weight
    packed = packing.PackedWeights([layer], release=True)
    assert layer.weight.numel() == 0, "in memory twice"
    packed.restore()
    assert torch.equal(layer.weight, before)
    assert layer.weight is weight, "an optimizer would hold another"


def test_memory_is_given_back(decoder: CM3LeonDecoder) -> None:
    gc.collect()
    before = len(packing._packed)
    decoder.warm_up()
    assert len(packing._packed) == before + len(decoder.model.matrices)
    del decoder._engine
    gc.collect()
    assert len(packing._packed) == before


def test_a_model_that_learns_draws_with_what_it_has_learned(decoder: CM3LeonDecoder) -> None:
    at_first = decoder.start([PROMPT], 20).logits.clone()
    model = decoder.model
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    ids = torch.arange(12)[None]
    nn.functional.cross_entropy(model(ids)[0, :-1], ids[0, 1:]).backward()
    optimizer.step()
    learned = decoder.start([PROMPT], 20).logits
    with torch.no_grad():
        wanted = model(torch.from_numpy(PROMPT)[None])[0, -1]
    assert torch.allclose(learned[0], wanted, atol=1e-4)
    assert not torch.allclose(learned, at_first, atol=1e-2)


def test_drawing_leaves_a_model_in_training_as_it_is(decoder: CM3LeonDecoder) -> None:
    model = decoder.model
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    decoder.start([PROMPT], 20)
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())
    ids = torch.arange(12)[None]
    zeros = torch.zeros_like(ids)
    packed = Packed(ids=ids, positions=torch.arange(12)[None], sample=zeros)
    decoder.train_forward(packed).sum().backward()
    assert all(weight.grad is not None for weight in model.parameters())


def test_a_decoder_that_has_drawn_moves_to_another_precision(decoder: CM3LeonDecoder) -> None:
    wanted = decoder.start([PROMPT], 20).logits
    decoder.warm_up("cpu", "bfloat16")
    decoder.warm_up("cpu", "float32")
    assert torch.allclose(decoder.start([PROMPT], 20).logits, wanted, atol=0.05 * float(wanted.abs().max()))
