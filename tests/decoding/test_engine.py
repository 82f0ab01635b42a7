"""How the decoder runs: prefixes once, compiled steps, 8-bit weights, and what stops it."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from calumma.errors import AssetError, FailedError
from calumma.interfaces import Asset, Dtype
from calumma_plugins.cm3leon import footprint
from calumma_plugins.cm3leon.config import ModelConfig
from calumma_plugins.cm3leon.decoder import CM3LeonDecoder
from calumma_plugins.cm3leon.engine import Engine
from calumma_plugins.cm3leon.footprint import footprint_of
from calumma_plugins.cm3leon.model import Cache, Transformer
from calumma_plugins.cm3leon.options import CM3LeonDecoderOptions
from calumma_plugins.cm3leon.weights import save_weights
from calumma_plugins.sampling.rows import start_shared

from .test_model import TINY, drawn, reference

CONFIG = TINY.model_copy(update={"context": 96})
DRAW = np.random.default_rng(3)
PREFIX = DRAW.integers(0, CONFIG.vocabulary.size, 30)


def close(got: torch.Tensor, wanted: torch.Tensor) -> bool:
    return bool((got.double() - wanted).abs().max() <= 2e-5 * wanted.abs().max())


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "drawn.safetensors"
    save_weights(path, drawn(CONFIG), CONFIG, {})
    return path


def decoder_of(path: Path, **options: object) -> CM3LeonDecoder:
    return CM3LeonDecoder(CM3LeonDecoderOptions(weights=Asset(path.name, path), **options))


def prompts(*tails: int) -> list[np.ndarray]:
    """Prompts that begin with the same 30 ids."""
    return [np.concatenate([PREFIX, DRAW.integers(0, CONFIG.vocabulary.size, tail)]) for tail in tails]


def test_every_logit_is_that_of_a_float64_reference(weights: Path) -> None:
    decoder = decoder_of(weights)
    rows, fresh = prompts(1, 9, 4), DRAW.integers(0, CONFIG.vocabulary.size, (3, 6))
    state = decoder.start(rows, 60)
    for row, prompt in enumerate(rows):
        assert close(state.logits[row], reference(decoder.model, torch.from_numpy(prompt))[-1])
    for at in range(6):
        decoder.append(state, torch.from_numpy(fresh[:, at : at + 1]), torch.ones(3, dtype=torch.int64))
        for row, prompt in enumerate(rows):
            whole = torch.from_numpy(np.concatenate([prompt, fresh[row, : at + 1]]))
            assert close(state.logits[row], reference(decoder.model, whole)[-1])


@pytest.mark.parametrize("shift", [1, -1])
@pytest.mark.parametrize("tails", [(5,), (5, 2)])
def test_a_mask_that_is_shifted_by_one_fails_the_same_test(
    tails: tuple[int, ...], shift: int, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = F.scaled_dot_product_attention

    def shifted(
        q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, attn_mask: torch.Tensor | None = None, **more: bool
    ) -> torch.Tensor:
        if attn_mask is None:
            k, v = k.roll(shift, 2), v.roll(shift, 2)
            k, v = (k[:, :, 1:], v[:, :, 1:]) if shift == 1 else (k[:, :, :-1], v[:, :, :-1])
        else:
            attn_mask = attn_mask.roll(shift, -1)
        return right(q, k, v, attn_mask=attn_mask, **more)

    decoder, rows = decoder_of(weights), prompts(*tails)
    state = decoder.start(rows, 60)
    with monkeypatch.context() as patched:
        patched.setattr(F, "scaled_dot_product_attention", shifted)
        decoder.append(state, torch.full((len(rows), 1), 7), torch.ones(len(rows), dtype=torch.int64))
    for row, prompt in enumerate(rows):
        assert not close(state.logits[row], reference(decoder.model, torch.from_numpy(np.append(prompt, 7)))[-1])


def test_what_prompts_begin_with_is_computed_once(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = decoder_of(weights)
    decoder.warm_up()
    seen: list[tuple[str, int]] = []
    append, extend = Engine.append, Engine.extend

    def counted_append(self: Engine, ids: torch.Tensor, held: int, cache: Cache) -> torch.Tensor:
        seen.append(("append", ids.numel()))
        return append(self, ids, held, cache)

    def counted_extend(
        self: Engine, ids: torch.Tensor, lengths: torch.Tensor, valid: torch.Tensor, cache: Cache
    ) -> torch.Tensor:
        seen.append(("extend", int(valid.sum())))
        return extend(self, ids, lengths, valid, cache)

    monkeypatch.setattr(Engine, "append", counted_append)
    monkeypatch.setattr(Engine, "extend", counted_extend)
    one, other = prompts(2, 6)
    state = start_shared(decoder, [one, other, one, other, one], 60)
    assert seen == [("append", 30), ("append", 2 * 6)]
    assert state.lengths.tolist() == [32, 36, 32, 36, 32]
    assert torch.equal(state.logits[0], state.logits[2])
    for row, prompt in enumerate([one, other, one]):
        assert close(state.logits[row], reference(decoder.model, torch.from_numpy(prompt))[-1])
    seen.clear()
    start_shared(decoder, [one] * 8, 60)
    assert seen == [("append", 32)]


def test_a_prompt_that_another_begins_with_keeps_an_id_of_its_own(weights: Path) -> None:
    decoder, (long,) = decoder_of(weights), prompts(10)
    for rows in ([long, long[:30]], [long[:31], long[:30], long]):
        state = decoder.start(rows, 60)
        for row, prompt in enumerate(rows):
            assert close(state.logits[row], reference(decoder.model, torch.from_numpy(prompt))[-1])


def changed(path: Path, out: Path, change: dict[str, torch.Tensor | None]) -> Path:
    """A copy of weights with other tensors; None leaves one out."""
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    tensors = {name: value for name, value in {**load_file(path), **change}.items() if value is not None}
    save_file(tensors, out, metadata=metadata)
    return out


def test_missing_and_surplus_tensors_are_both_listed(weights: Path, tmp_path: Path) -> None:
    odd = changed(
        weights,
        tmp_path / "odd.safetensors",
        {"embed.weight": None, "extra.weight": torch.ones(2), "blocks.0.ffn_in.weight": torch.ones(3, 3)},
    )
    with pytest.raises(AssetError) as told:
        decoder_of(odd).warm_up()
    assert "1 missing (embed.weight)" in told.value.message
    assert "1 unexpected (extra.weight)" in told.value.message
    assert "1 of another shape (blocks.0.ffn_in.weight)" in told.value.message


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused_by_name(bad: float, weights: Path, tmp_path: Path) -> None:
    tensor = load_file(weights)["blocks.1.qkv.weight"]
    tensor[3, 4] = bad
    odd = changed(weights, tmp_path / "odd.safetensors", {"blocks.1.qkv.weight": tensor})
    with pytest.raises(AssetError, match=r"not finite \(blocks\.1\.qkv\.weight\)"):
        decoder_of(odd).warm_up()


def test_running_out_of_memory_is_told_in_numbers(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = decoder_of(weights)
    decoder.warm_up()
    monkeypatch.setattr(
        Transformer, "new_cache", lambda self, rows, capacity: Cache(torch.empty(2**46), torch.empty(0))
    )  # 256 TiB: no machine gives that
    with pytest.raises(FailedError, match=r"not enough memory on cpu: 0 M parameters .* cache of 2 rows of 60 ids"):
        decoder.start(prompts(1, 2), 60)


def test_other_errors_are_not_taken_for_it() -> None:
    with pytest.raises(RuntimeError, match="shapes"), footprint.room_for(CONFIG, "float32", "cpu"):
        raise RuntimeError("shapes do not fit")


@pytest.mark.parametrize(("tied", "dtype"), itertools.product([True, False], get_args(Dtype)))
def test_the_footprint_is_what_is_allocated(tied: bool, dtype: Dtype) -> None:
    config = CONFIG.model_copy(update={"tied": tied})
    model = Transformer(config).to(getattr(torch, dtype))
    told = footprint_of(config, dtype)
    assert told.parameters == sum(weight.numel() for weight in model.parameters())
    assert told.weight_bytes == sum(weight.nbytes for weight in model.parameters())
    few, many = (model.new_cache(3, capacity) for capacity in (10, 20))
    assert told.cache_bytes * 3 * 10 == held(many) - held(few)


def held(cache: Cache) -> int:
    return sum(one.nbytes for one in [*cache.keys, *cache.values, cache.hidden])


def test_flops_are_two_for_every_number_that_is_multiplied() -> None:
    config = ModelConfig(layers=2, width=8, heads=2, context=16, text_size=5, codebook_size=3)
    matrices = 2 * (3 * 8 * 8 + 8 * 8 + 2 * 4 * 8 * 8) + config.vocabulary.size * 8
    assert footprint_of(config, "float32").flops == 2 * matrices


@pytest.mark.slow
def test_compiled_steps_are_the_same_and_compile_once(weights: Path) -> None:
    from torch._dynamo.utils import counters

    plain, fast = decoder_of(weights), decoder_of(weights, compile=True)
    fast.warm_up()
    counters.clear()
    for count, capacity in ((1, 40), (3, 60), (8, 90), (1, 96)):
        rows = prompts(*range(1, count + 1))
        states = [decoder.start(rows, capacity) for decoder in (plain, fast)]
        for _ in range(3):
            ids = torch.from_numpy(DRAW.integers(0, CONFIG.vocabulary.size, (count, 1)))
            for decoder, state in zip((plain, fast), states, strict=True):
                decoder.append(state, ids, torch.ones(count, dtype=torch.int64))
            assert close(states[1].logits, states[0].logits.double())
    assert not counters["stats"].get("unique_graphs"), "a request compiled something"


@pytest.mark.slow
def test_eight_bits_are_near_and_a_quarter_as_large() -> None:
    config = ModelConfig(layers=4, width=256, heads=4, context=96, text_size=20, codebook_size=12)
    sizes = {"layers": 4, "width": 256, "heads": 4, "context": 96, "text_size": 20, "codebook_size": 12}
    plain, small = (CM3LeonDecoder(CM3LeonDecoderOptions(**sizes, **more)) for more in ({}, {"quantize": "int8"}))
    for decoder in (plain, small):
        decoder._model = drawn(config)
        decoder.warm_up()
    prompt = np.arange(20)
    wanted, got = (decoder.start([prompt], 40).logits for decoder in (plain, small))
    assert (got - wanted).abs().max() < 0.05 * wanted.abs().max()
    assert not torch.equal(got, wanted)
    assert small.footprint().weight_bytes < 0.3 * plain.footprint().weight_bytes
    assert plain.fingerprint() != small.fingerprint()
