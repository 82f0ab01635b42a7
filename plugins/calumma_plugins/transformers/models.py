"""transformers' Chameleon, built from a folder's own tensors: no code of the folder's, no generation, images not suppressed."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers.models.chameleon.configuration_chameleon import ChameleonConfig, ChameleonVQVAEConfig
from transformers.models.chameleon.modeling_chameleon import (
    ChameleonForConditionalGeneration,
    ChameleonRotaryEmbedding,
    ChameleonVQVAE,
)

from calumma.errors import AssetError
from calumma_plugins.transformers.cache import Cache
from calumma_plugins.transformers.config import ModelConfig
from calumma_plugins.transformers.folder import VQ, Folder, is_code

HEAD, EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"


class Transformer(nn.Module):
    """The modules of ChameleonForConditionalGeneration, without its image tokenizer.

    Its own `forward` overwrites the logits of all codes with the lowest number; `head` does not, so it draws.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        settings = ChameleonConfig(**config.arguments(), attn_implementation="sdpa")
        whole: Any = ChameleonForConditionalGeneration(settings)
        self.body: Any = whole.model
        self.output: Any = whole.lm_head
        self.settings = settings
        del self.body.vqmodel

    def hidden(self, ids: Tensor, positions: Tensor, mask: Tensor, cache: Cache | None = None) -> Tensor:
        """Ids and positions [B, T], mask bool [B, 1, T, S] of what each sees -> what `head` turns into logits, [B, T, W]."""
        x = self.body.embed_tokens(ids)
        rotations = self.body.rotary_emb(x, position_ids=positions)
        for layer in self.body.layers:
            x = layer(x, attention_mask=mask, position_ids=positions, past_key_values=cache, position_embeddings=rotations)
            x = x[0] if isinstance(x, tuple) else x
        normed: Tensor = self.body.norm(x)
        return normed

    def head(self, hidden: Tensor) -> Tensor:
        """Hidden [..., W] -> logits float32 [..., V]."""
        logits: Tensor = self.output(hidden)
        return logits.float()

    def to_precision(self, device: str, dtype: torch.dtype) -> None:
        """Moves it; rotations stay in float32, in which transformers works them out."""
        self.to(device)
        for parameter in self.parameters():
            parameter.data = parameter.data.to(dtype)


def load_transformer(folder: Folder) -> Transformer:
    """The model of a folder on the CPU, in the precision it was written in. Raises AssetError."""
    config = folder.config
    try:
        with torch.device("meta"):  # shapes alone, so that no memory is asked for that the files do not fill
            model = Transformer(config)
    except (TypeError, ValueError, RuntimeError) as error:
        raise AssetError(
            f"transformers makes no Chameleon of {folder.path / 'config.json'}: {error}", "Check the sizes in it."
        ) from error
    wanted = {_published(name): tuple(value.shape) for name, value in model.state_dict().items()}
    left_out = HEAD if config.tie_word_embeddings else ""
    wanted.pop(left_out, None)
    tensors = folder.load(lambda name: not name.startswith(VQ) and name != left_out, wanted)
    if left_out:
        tensors[HEAD] = tensors[EMBEDDING]
    model.load_state_dict({_ours(name): value for name, value in tensors.items()}, assign=True)
    model.body.rotary_emb = ChameleonRotaryEmbedding(model.settings)
    if left_out:
        model.output.weight = model.body.embed_tokens.weight
    return model.eval()


def load_vq(folder: Folder) -> ChameleonVQVAE:
    """The image tokenizer of a folder on the CPU, in float32. Raises AssetError."""
    config = folder.config.arguments()["vq_config"]
    with torch.device("meta"):
        model: Any = ChameleonVQVAE(ChameleonVQVAEConfig(**config))
    wanted = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    tensors = folder.load(is_code, wanted, VQ)
    model.load_state_dict({name: value.float() for name, value in tensors.items()}, assign=True)
    return model.eval().requires_grad_(False)


def _published(name: str) -> str:
    """The name that a tensor of `Transformer` has in a file."""
    part, _, rest = name.partition(".")
    return f"model.{rest}" if part == "body" else f"lm_head.{rest}"


def _ours(name: str) -> str:
    part, _, rest = name.partition(".")
    return f"body.{rest}" if part == "model" else f"output.{rest}"
