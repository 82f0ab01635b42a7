"""fsq/tokenizer: the id of a cell is the index of its rounded vector; there is no codebook to look it up in."""

from __future__ import annotations

import torch
from calumma.errors import InputError
from calumma.interfaces import Device, Dtype, ImageTokenizer

from calumma_fsq.config import FSQConfig
from calumma_fsq.model import Autoencoder
from calumma_fsq.options import FSQOptions
from calumma_fsq.weights import load_weights


class FSQTokenizer(ImageTokenizer):
    """Pictures one by one and in float32 always: what is near the middle of two levels must not depend on its batch."""

    Options = FSQOptions
    options: FSQOptions

    def __init__(self, options: FSQOptions) -> None:
        super().__init__(options)
        self.config = FSQConfig.read(options.weights.local)
        self.codebook_size = self.config.codebook_size
        self.resolution = (self.config.resolution, self.config.resolution)
        self._model: Autoencoder | None = None
        self._device: Device = "cpu"

    def warm_up(self, device: Device = "cpu", dtype: Dtype = "float32") -> None:
        """Loads the weights onto the device; `dtype` changes no code."""
        if self._model is None:
            self._model = load_weights(self.options.weights.local, self.config)
        self._model.to(device)
        self._device = device

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """One code for `factor` x `factor` pixels."""
        factor = self.config.factor
        if height < factor or width < factor or height % factor or width % factor:
            raise InputError(
                f"A picture of {width} x {height} pixels does not fit a tokenizer of {factor} pixels per code.",
                f"Resize it to multiples of {factor}.",
            )
        return height // factor, width // factor

    @torch.no_grad()
    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Ids of FSQ."""
        model, cells = self._warm(), self.grid(images.shape[2], images.shape[3])
        rows = [model.ids(image[None].to(self._device, torch.float32) * 2 - 1) for image in images]
        return torch.cat(rows) if rows else torch.zeros(0, *cells, dtype=torch.int64, device=self._device)

    @torch.no_grad()
    def decode(self, ids: torch.Tensor) -> torch.Tensor:
        """The decoder's pictures of FSQ's codes."""
        if ids.numel() and (int(ids.min()) < 0 or int(ids.max()) >= self.codebook_size):
            raise InputError(
                f"An image id is outside of 0..{self.codebook_size - 1}.", "Decode ids of this tokenizer only."
            )
        model, factor = self._warm(), self.config.factor
        rows = [((model.pictures(row[None].to(self._device)) + 1) / 2).clamp(0, 1) for row in ids]
        shape = (0, 3, ids.shape[1] * factor, ids.shape[2] * factor)
        return torch.cat(rows) if rows else torch.zeros(shape, device=self._device)

    def _warm(self) -> Autoencoder:
        if self._model is None:
            self.warm_up()
        assert self._model is not None
        return self._model
