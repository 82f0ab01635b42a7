"""Kind `image_tokenizer`: pictures to grids of codebook indices and back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from calumma.interfaces.component import Component

if TYPE_CHECKING:
    import torch


class ImageTokenizer(Component, ABC):
    """Turns pictures into codes. `codebook_size`, `resolution` and `grid` are known before weights load.

    The same input gives the same answer, bit for bit, whatever was asked before. Tensors that are passed stay as they
    are, and those that are returned carry no gradient.

    Attributes:
        codebook_size: ids are 0 <= id < codebook_size.
        resolution: (H, W) that it was trained on and the pipeline resizes to.
    """

    codebook_size: int
    resolution: tuple[int, int]

    @abstractmethod
    def grid(self, height: int, width: int) -> tuple[int, int]:
        """(h, w) of the codes of an H x W picture. Raises InputError where H or W does not fit."""

    @abstractmethod
    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Images float32 [B, 3, H, W] in [0, 1] -> ids int64 [B, h, w], a B of 0 included. Raises InputError where `grid` does.

        Row i depends on image i alone, but for the last bits of a convolution, which may tip a code between two that are
        equally near; so the pipeline passes one picture at a time.
        """

    @abstractmethod
    def decode(self, ids: torch.Tensor) -> torch.Tensor:
        """Ids int64 [B, h, w] -> images float32 [B, 3, H, W], clamped to [0, 1]. Raises InputError for an id out of range."""
