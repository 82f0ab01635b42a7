"""CM3Leon's decoder-only transformer (arXiv:2309.02591, section 2.3 and table 3), in plain torch, for training and decoding.

No biases, no dropout, layer norms without parameters, learned absolute positions, output projections that start at zero.
Shapes: B rows, L ids of whole rows, T new ids, H heads, D = width / heads, C cache slots, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from calumma_plugins.cm3leon.config import ModelConfig
from calumma_plugins.cm3leon.packing import Matrix, Product, dense

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]  # q, k, v [B, H, L, D] -> [B, H, L, D]


def norm(x: Tensor) -> Tensor:
    """Layer norm without scale and shift."""
    return torch.layer_norm(x, x.shape[-1:])


class Block(nn.Module):
    """Pre-norm attention, then a pre-norm feed-forward layer."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.width
        self.heads = config.heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.attention_out = nn.Linear(width, width, bias=False)
        self.ffn_in = nn.Linear(width, config.ffn * width, bias=False)
        self.ffn_out = nn.Linear(config.ffn * width, width, bias=False)

    def forward(self, x: Tensor, attend: Attend, product: Product = dense) -> Tensor:  # (B, L, W)
        qkv = product(self.qkv, norm(x)).view(*x.shape[:-1], 3, self.heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (B, H, L, D)
        x = product(self.attention_out, attend(q, k, v).transpose(1, 2).flatten(2), add=x)
        return product(self.ffn_out, product(self.ffn_in, norm(x), gelu=True), add=x)


@dataclass(eq=False)
class Cache:
    """Keys and values of all layers. The last slot is spare: ids that do not count are written there and never read.

    A tensor for each layer: a compiler copies the whole of what it writes to through a view of something larger.

    Attributes:
        keys, values: for each layer [B, H, C + 1, D].
        hidden: [B, C + 1, W], what `head` turns into the logits after each id, so that rows can be rewound.
    """

    keys: list[Tensor]
    values: list[Tensor]
    hidden: Tensor

    @property
    def capacity(self) -> int:
        """Ids that one row can hold."""
        return self.hidden.shape[1] - 1

    def rows(self, index: Tensor) -> Cache:
        """A copy that holds these rows, int64 [B'], repeats allowed."""
        return Cache(
            [keys.index_select(0, index) for keys in self.keys],
            [values.index_select(0, index) for values in self.values],
            self.hidden.index_select(0, index),
        )


class Transformer(nn.Module):
    """Ids in, logits of the next id out.

    Attributes:
        checkpointing: trade compute for memory in training: keep only the input of each block.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.checkpointing = False
        self.embed = nn.Embedding(config.vocabulary.size, config.width)
        self.position = nn.Embedding(config.context, config.width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.output = None if config.tied else nn.Linear(config.width, config.vocabulary.size, bias=False)
        self.initialise()

    @torch.no_grad()
    def initialise(self, generator: torch.Generator | None = None) -> None:
        """Draws all weights anew, as the paper does; on the meta device this does nothing."""
        for name, weight in self.named_parameters():
            if name.endswith(("attention_out.weight", "ffn_out.weight")):
                weight.zero_()
            else:
                std = self.config.position_std if name == "position.weight" else self.config.init_std
                nn.init.trunc_normal_(weight, std=std, a=-3 * std, b=3 * std, generator=generator)

    # Training: full rows.

    def forward(self, ids: Tensor, positions: Tensor | None = None, sample: Tensor | None = None) -> Tensor:
        """Logits float32 [B, L, V] of full rows, each id seeing those of its own sample up to itself.

        Args:
            ids: int64 [B, L].
            positions: int64 [B, L]; by default 0 to L - 1.
            sample: int64 [B, L], -1 for padding on the right; by default every row is one sample.
        """
        return self.head(self.hidden(ids, positions, sample))

    def hidden(self, ids: Tensor, positions: Tensor | None = None, sample: Tensor | None = None) -> Tensor:
        """What `head` turns into logits: [B, L, W]. For losses that compute logits piece by piece."""
        if positions is None:
            positions = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
        attend = _attend_within(sample)
        x = self.embed(ids) + self.position(positions)
        for block in self.blocks:
            if self.checkpointing and torch.is_grad_enabled():
                x = checkpoint(block, x, attend, use_reentrant=False)
            else:
                x = block(x, attend)
        return norm(x)

    def head(self, hidden: Tensor, product: Product = dense) -> Tensor:
        """Hidden [..., W] -> logits float32 [..., V]."""
        return product(self.output or self.embed, hidden).float()

    @property
    def matrices(self) -> list[Matrix]:
        """What is multiplied with, in a step."""
        layers: list[Matrix] = [module for module in self.modules() if isinstance(module, nn.Linear)]
        return layers if self.output else [*layers, self.embed]

    # Decoding: new ids after what the cache holds.

    def new_cache(self, rows: int, capacity: int) -> Cache:
        """Room for `capacity` ids in each row."""
        c, weight = self.config, self.embed.weight
        shape = (rows, c.heads, capacity + 1, c.width // c.heads)
        keys, values = ([weight.new_zeros(shape) for _ in range(c.layers)] for _ in range(2))
        return Cache(keys, values, weight.new_zeros(rows, capacity + 1, c.width))

    def append(self, ids: Tensor, held: int, cache: Cache, product: Product = dense) -> Tensor:
        """Appends ids [B, T] to rows that all hold `held`; hidden [B, T, W]. Rows may be padded on the right.

        A row never sees its padding: it comes later, and later ids are written over it.
        """
        step = ids.shape[1]
        end = held + step
        x = self.embed(ids) + self.position.weight[held:end]
        mask = None if held == 0 or step == 1 else torch.ones(step, end, dtype=torch.bool, device=ids.device).tril(held)
        for block, keys, values in zip(self.blocks, cache.keys, cache.values, strict=True):

            def attend(q: Tensor, k: Tensor, v: Tensor, keys: Tensor = keys, values: Tensor = values) -> Tensor:
                keys[:, :, held:end] = k
                values[:, :, held:end] = v
                return F.scaled_dot_product_attention(
                    q, keys[:, :, :end], values[:, :, :end], attn_mask=mask, is_causal=held == 0
                )

            x = block(x, attend, product)
        x = norm(x)
        cache.hidden[:, held:end] = x
        return x

    def extend(
        self, ids: Tensor, lengths: Tensor, valid: Tensor, cache: Cache, reach: Tensor, product: Product = dense
    ) -> Tensor:
        """The same for rows that hold lengths[i] ids, of which the first valid[i] are appended; hidden [B, T, W].

        Args:
            reach: 0, 1, 2, ... up to the length of the longest row at least; slots beyond it are not looked at.
        """
        rows, step = ids.shape
        extent = reach.shape[0]
        offset = torch.arange(step, device=ids.device)
        slots = torch.where(offset < valid[:, None], lengths[:, None] + offset, cache.capacity)  # (B, T)
        mask = (reach <= slots[..., None]).unsqueeze(1)  # (B, 1, T, extent)
        row = torch.arange(rows, device=ids.device)[:, None]
        x = self.embed(ids) + self.position(slots.clamp(max=self.config.context - 1))
        for block, keys, values in zip(self.blocks, cache.keys, cache.values, strict=True):

            def attend(q: Tensor, k: Tensor, v: Tensor, keys: Tensor = keys, values: Tensor = values) -> Tensor:
                keys[row, :, slots] = k.transpose(1, 2)
                values[row, :, slots] = v.transpose(1, 2)
                return F.scaled_dot_product_attention(q, keys[:, :, :extent], values[:, :, :extent], attn_mask=mask)

            x = block(x, attend, product)
        x = norm(x)
        cache.hidden[row, slots] = x
        return x


def _attend_within(sample: Tensor | None) -> Attend:
    """Causal attention within samples; torch's own causal kernel where each row is one sample, padded on the right."""
    if sample is None or bool(((sample == sample[:, :1]) | (sample == -1)).all()):
        return lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True)
    length = sample.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=sample.device).tril()
    mask = ((sample[:, :, None] == sample[:, None, :]) & causal).unsqueeze(1)
    return lambda q, k, v: F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
