"""A key-value cache of fixed size whose rows are of unequal length; transformers' attention calls `update`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(eq=False)
class Cache:
    """Keys and values of all layers. The last slot is spare: ids that do not count are written there and never read.

    Attributes:
        slots: [layers, 2, B, H, C + 1, D].
        hidden: [B, C + 1, W], what becomes the logits after each id, so that rows can be rewound.
        at: int64 [B, T], the slots that the ids of this step go to.
        extent: no row is longer than this; slots from it on are not looked at.
    """

    slots: Tensor
    hidden: Tensor
    at: Tensor | None = None
    extent: int = 0

    @property
    def capacity(self) -> int:
        """Ids that one row can hold."""
        return self.slots.shape[4] - 1

    def rows(self, index: Tensor) -> Cache:
        """A copy that holds these rows, int64 [B'], repeats allowed."""
        return Cache(self.slots.index_select(2, index), self.hidden.index_select(0, index))

    def aim(self, lengths: Tensor, valid: Tensor, step: int, extent: int) -> tuple[Tensor, Tensor]:
        """Makes room for `step` ids in each row, of which the first valid[i] count, behind the lengths[i] that it holds.

        Returns:
            Slots int64 [B, T], and bool [B, 1, T, extent] of the slots that each id sees.
        """
        offset = torch.arange(step, device=lengths.device)
        self.at = torch.where(offset < valid[:, None], lengths[:, None] + offset, self.capacity)
        self.extent = extent
        mask = torch.arange(extent, device=lengths.device) <= self.at[..., None]
        return self.at, mask.unsqueeze(1)

    def update(self, keys: Tensor, values: Tensor, layer: int, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Writes keys and values [B, H, T, D] of a step, and returns those of the rows so far, [B, H, extent, D]."""
        assert self.at is not None
        row = torch.arange(len(self.at), device=self.at.device)[:, None]
        held_keys, held_values = self.slots[layer]
        held_keys[row, :, self.at] = keys.transpose(1, 2)
        held_values[row, :, self.at] = values.transpose(1, 2)
        return held_keys[:, :, : self.extent], held_values[:, :, : self.extent]

    def remember(self, hidden: Tensor) -> None:
        """Keeps [B, T, W] of a step."""
        assert self.at is not None
        row = torch.arange(len(self.at), device=self.at.device)[:, None]
        self.hidden[row, self.at] = hidden
