"""An image tokenizer without weights: a code is the mean colour of a block of pixels, rounded to a few levels per channel."""

from __future__ import annotations

import torch
from pydantic import Field

from calumma.errors import InputError
from calumma.interfaces import Device, Dtype, ImageTokenizer, Options


class BlockOptions(Options):
    cell: int = Field(4, ge=1, le=64, description="Pixels per code, along each side.", json_schema_extra={"meaning": True})
    side: int = Field(4, ge=1, le=64, description="Codes along each side of a picture.", json_schema_extra={"meaning": True})
    levels: int = Field(4, ge=2, le=32, description="Levels per colour channel.", json_schema_extra={"meaning": True})


class BlockTokenizer(ImageTokenizer):
    """Ids are base-`levels` numbers of three digits, red first; what is decoded is encoded to the same ids."""

    Options = BlockOptions
    options: BlockOptions

    def __init__(self, options: BlockOptions) -> None:
        super().__init__(options)
        self.codebook_size = options.levels**3
        self.resolution = (options.side * options.cell, options.side * options.cell)
        self._codebook: torch.Tensor | None = None

    def warm_up(self, device: Device = "cpu", dtype: Dtype = "float32") -> None:
        levels = torch.linspace(0, 1, self.options.levels, device=device)
        self._codebook = torch.cartesian_prod(levels, levels, levels)

    def grid(self, height: int, width: int) -> tuple[int, int]:
        cell = self.options.cell
        if height < cell or width < cell or height % cell or width % cell:
            raise InputError(
                f"A picture of {width} x {height} pixels does not fit a tokenizer of {cell} pixels per code.",
                f"Resize it to multiples of {cell}.",
            )
        return height // cell, width // cell

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        device, cell = self._table().device, self.options.cell
        h, w = self.grid(*images.shape[2:])
        means = images.detach().to(device).reshape(len(images), 3, h, cell, w, cell).mean((3, 5))
        digits = (means * (self.options.levels - 1)).round().long()
        weights = torch.tensor([self.options.levels**2, self.options.levels, 1], device=device)
        return (digits * weights[:, None, None]).sum(1)

    def decode(self, ids: torch.Tensor) -> torch.Tensor:
        if ids.numel() and (int(ids.min()) < 0 or int(ids.max()) >= self.codebook_size):
            raise InputError(f"An image id is outside of 0..{self.codebook_size - 1}.", "Decode ids of this tokenizer only.")
        table = self._table()
        colours = table[ids.to(table.device)].permute(0, 3, 1, 2)
        return colours.repeat_interleave(self.options.cell, 2).repeat_interleave(self.options.cell, 3)

    def _table(self) -> torch.Tensor:
        """Colours [codebook_size, 3] in [0, 1], in the order of the ids."""
        if self._codebook is None:
            self.warm_up()
        assert self._codebook is not None
        return self._codebook
