"""The autoencoder: convolutions down to one vector a cell, each number of it rounded to a few levels, and back up."""

from __future__ import annotations

from itertools import pairwise
from typing import cast

import torch
from torch import nn
from vector_quantize_pytorch import FSQ

from calumma_fsq.config import FSQConfig

PATCH = 2  # the outermost halving is a rearrangement, which costs nothing
GROUPS = 8


class Residual(nn.Module):
    """x + f(x), [B, C, h, w] -> the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.GroupNorm(GROUPS, channels),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.GroupNorm(GROUPS, channels),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + cast(torch.Tensor, self.body(x))


class Autoencoder(nn.Module):
    """Pictures [B, 3, H, W] in [-1, 1] and their codes, [B, levels, h, w]."""

    def __init__(self, config: FSQConfig) -> None:
        super().__init__()
        halvings = config.factor.bit_length() - 2  # beside the patches
        widths = [config.width * 2**i for i in range(halvings + 1)]
        down: list[nn.Module] = [nn.PixelUnshuffle(PATCH), nn.Conv2d(3 * PATCH**2, widths[0], 3, padding=1)]
        up: list[nn.Module] = [nn.PixelShuffle(PATCH), nn.Conv2d(widths[0], 3 * PATCH**2, 3, padding=1)]
        for narrow, wide in pairwise(widths):
            down += [Residual(narrow), nn.Conv2d(narrow, wide, 4, stride=2, padding=1)]
            up += [Residual(narrow), nn.Conv2d(wide, narrow, 3, padding=1), nn.Upsample(scale_factor=2)]
        codes = len(config.levels)
        middle = widths[-1]
        down += [Residual(middle), Residual(middle), nn.GroupNorm(GROUPS, middle), nn.Conv2d(middle, codes, 1)]
        up += [Residual(middle), Residual(middle), nn.Conv2d(codes, middle, 1)]
        self.encoder = nn.Sequential(*down)
        self.quantizer = FSQ(list(config.levels))
        self.decoder = nn.Sequential(*reversed(up))

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Reconstructions; the rounding passes gradients straight through."""
        quantized, _ = self.quantizer(self.encoder(pictures))
        return cast(torch.Tensor, self.decoder(quantized))

    def ids(self, pictures: torch.Tensor) -> torch.Tensor:
        """FSQ's own index of each cell's code, int64 [B, h, w]."""
        _, ids = self.quantizer(self.encoder(pictures))
        return cast(torch.Tensor, ids.long())

    def pictures(self, ids: torch.Tensor) -> torch.Tensor:
        """[B, 3, H, W], about [-1, 1], of ids int64 [B, h, w]."""
        return cast(torch.Tensor, self.decoder(self.quantizer.indices_to_codes(ids)))
