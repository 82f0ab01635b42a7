"""A Chameleon of random weights in the Hugging Face format, small enough to be made on the spot: for contracts and docs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import nn
from transformers.models.chameleon.configuration_chameleon import ChameleonConfig
from transformers.models.chameleon.modeling_chameleon import ChameleonForConditionalGeneration

from calumma_plugins.transformers.config import VQConfig
from calumma_plugins.transformers.pixels import PixelDecoder

CODES = 64
STRUCTURE = ("<s>", "<pad>", "</s>", "<unk>", "<eoss>", "<racm3:break>", "<reserved08706>", "<image>")
VQ: dict[str, Any] = {
    "embed_dim": 8,
    "num_embeddings": CODES,
    "latent_channels": 8,
    "resolution": 16,
    "base_channels": 32,
    "channel_multiplier": [1, 1, 1],
    "num_res_blocks": 1,
}
MODEL: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 192,
}


def tiny(folder: Path) -> dict[str, Any]:
    """Options of a decoder over 256 text ids, a byte each, and 64 codes, for any tokenizers of these sizes."""
    write_chameleon(folder / "chameleon")
    return {"model": str(folder / "chameleon")}


def tiny_vq(folder: Path) -> dict[str, Any]:
    """Options of its image tokenizer, of 4 x 4 codes from 16 x 16 pixels, with a pixel decoder."""
    write_chameleon(folder / "chameleon")
    return {"model": str(folder / "chameleon"), "decoder_weights": str(folder / "chameleon" / "vqgan.ckpt")}


def tiny_tokenizer(folder: Path) -> dict[str, Any]:
    """Options of its text tokenizer."""
    write_tokenizer(folder / "tokenizer.json")
    return {"model": str(folder)}


def vocabulary() -> dict[str, int]:
    """Name -> id: the bytes in their order, then the codes scattered (an offset would not find them), then the structure."""
    codes = [code_name(code * 27 % CODES) for code in range(CODES)]
    return {name: id for id, name in enumerate([*_bytes(), *codes, *STRUCTURE])}


def code_name(code: int) -> str:
    """What a code is called in Chameleon's vocabulary."""
    return "IMGIMG" + "".join("ABCDEFGHIJ"[int(digit)] for digit in str(code)) + "Z"


def write_chameleon(folder: Path, seed: int = 0) -> None:
    """Writes config.json, model.safetensors, tokenizer.json, and a vqgan.ckpt as Meta publish it beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    names = vocabulary()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: Any = ChameleonForConditionalGeneration(
            ChameleonConfig(vocab_size=len(names), vocabulary_map=names, vq_config=VQ, **MODEL)
        )
        draw(model)
        pixels = PixelDecoder(VQConfig.model_validate(VQ))
    model.config.to_json_file(folder / "config.json")
    save_file(model.state_dict(), folder / "model.safetensors", metadata={"format": "pt"})
    write_tokenizer(folder / "tokenizer.json")
    vq = model.model.vqmodel.state_dict()
    torch.save({"state_dict": {**pixels.state_dict(), **vq, "loss.logvar": torch.zeros(1)}}, folder / "vqgan.ckpt")


@torch.no_grad()
def draw(model: Any) -> None:
    """Random weights with which attention has work to do, and pictures use many codes."""
    for name, weight in model.named_parameters():
        if "vqmodel" not in name and weight.ndim > 1 and "_norm" not in name:
            weight.normal_(std=0.2)
        elif "_norm" in name or name.endswith("layernorm.weight"):
            weight.add_(torch.randn_like(weight) * 0.2)
    nn.init.normal_(model.model.vqmodel.quantize.embedding.weight)
    nn.init.normal_(model.model.vqmodel.quant_conv.weight, std=2.0)


def write_tokenizer(path: Path) -> None:
    """Writes a tokenizer.json in which, as in Chameleon's, text, codes and structure share one vocabulary."""
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary(), merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(STRUCTURE))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(json.loads(tokenizer.to_str())), encoding="utf-8")


def _bytes() -> list[str]:
    """What byte-level BPE calls each byte: itself where it can be seen, else the next unused character from U+0100 on."""
    seen = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in seen]
    return [chr(byte) if byte in seen else chr(0x100 + hidden.index(byte)) for byte in range(256)]
