"""Small Chameleons in the Hugging Face format, saved by transformers itself, and what transformers computes with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import ChameleonConfig, ChameleonForConditionalGeneration
from transformers.utils import logging

from calumma_plugins.transformers.config import VQConfig
from calumma_plugins.transformers.decoder import ChameleonDecoder
from calumma_plugins.transformers.example import CODES, MODEL, STRUCTURE, VQ, code_name, draw, write_tokenizer
from calumma_plugins.transformers.options import ChameleonOptions, ChameleonTokenizerOptions, ChameleonVQOptions
from calumma_plugins.transformers.pixels import PixelDecoder
from calumma_plugins.transformers.tokenizer import ChameleonTokenizer
from calumma_plugins.transformers.vocabulary import is_text_name
from calumma_plugins.transformers.vq import ChameleonVQ

from .conftest import asset

logging.disable_progress_bar()
ROUNDING = 2e-5  # of the largest logit


def published_names(text: dict[str, int]) -> dict[str, int]:
    """A vocabulary in the order of the published one: some structure, the codes, more structure, then text."""
    head, tail = STRUCTURE[:4], STRUCTURE[4:]
    words = [name for name in sorted(text, key=text.__getitem__) if is_text_name(name)]
    codes = [code_name(code * 27 % CODES) for code in range(CODES)]
    return {name: id for id, name in enumerate([*head, *codes, *tail, "<sentinel:0>", *words])}


def save(folder: Path, seed: int = 0, shards: str = "1GB", **changes: Any) -> ChameleonForConditionalGeneration:
    """Random weights, saved as transformers saves them; returns its own model."""
    from calumma_plugins.transformers.example import vocabulary

    names = changes.pop("vocabulary_map", None) or vocabulary()
    vq = {**VQ, **changes.pop("vq_config", {})}
    torch.manual_seed(seed)
    config = ChameleonConfig(**{"vocab_size": len(names), "vocabulary_map": names, "vq_config": vq, **MODEL, **changes})
    model = ChameleonForConditionalGeneration(config).eval()
    draw(model)
    model.save_pretrained(folder, max_shard_size=shards)
    write_tokenizer(folder / "tokenizer.json")
    return model


def save_pixels(path: Path, model: ChameleonForConditionalGeneration, seed: int = 1) -> PixelDecoder:
    """A checkpoint as Meta publish it: encoder, decoder, codebook and loss in one Lightning file. Returns the decoder."""
    torch.manual_seed(seed)
    pixels = PixelDecoder(VQConfig.model_validate(VQ)).eval()
    vq = model.model.vqmodel.state_dict()
    pixels.load_state_dict({name: vq.get(name, value) for name, value in pixels.state_dict().items()})
    torch.save({"state_dict": {**vq, **pixels.state_dict(), "loss.logvar": torch.zeros(1)}}, path)
    return pixels


def decoder(folder: Path, **options: Any) -> ChameleonDecoder:
    return ChameleonDecoder(ChameleonOptions(model=asset(folder), **options))


def image_tokenizer(folder: Path, weights: Path | None = None) -> ChameleonVQ:
    return ChameleonVQ(ChameleonVQOptions(model=asset(folder), decoder_weights=asset(weights) if weights else None))


def text_tokenizer(folder: Path) -> ChameleonTokenizer:
    return ChameleonTokenizer(ChameleonTokenizerOptions(model=asset(folder)))


@torch.no_grad()
def logits_of(model: ChameleonForConditionalGeneration, row: np.ndarray) -> torch.Tensor:
    """What transformers' own modules give after each id of one row, [L, V]; its `forward` would hide the codes."""
    return model.lm_head(model.model(torch.from_numpy(row)[None]).last_hidden_state)[0].float()


def rows(size: int, *lengths: int, seed: int = 0) -> list[np.ndarray]:
    draw = np.random.default_rng(seed)
    return [draw.integers(0, size, length) for length in lengths]


def assert_same(got: torch.Tensor, wanted: torch.Tensor, share: float = ROUNDING) -> None:
    gap, bound = float((got.double() - wanted.double()).abs().max()), share * float(wanted.abs().max())
    assert gap <= bound, f"{gap:.3g} off; {bound:.3g} would be rounding"
