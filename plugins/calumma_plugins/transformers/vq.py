"""transformers/chameleon-vq: the image tokenizer inside a Chameleon folder (Make-A-Scene's VQGAN, arXiv:2203.13131).

The folder has the encoder. The decoder is that of taming's VQGAN; Meta publish its weights beside Chameleon, as vqgan.ckpt.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from calumma.errors import AssetError, InputError
from calumma.interfaces import Device, Dtype, ImageTokenizer, sha256_of
from calumma_plugins.transformers.folder import PIXELS, Folder, fingerprint, named
from calumma_plugins.transformers.options import ChameleonVQOptions

if TYPE_CHECKING:
    from calumma_plugins.transformers.pixels import PixelDecoder


class ChameleonVQ(ImageTokenizer):
    """Pictures one by one and in float32 always, so that neither batch nor dtype ever changes a code."""

    id = "transformers/chameleon-vq"
    Options = ChameleonVQOptions
    options: ChameleonVQOptions

    def __init__(self, options: ChameleonVQOptions) -> None:
        super().__init__(options)
        self.folder = Folder(options.model.local)
        self._config = self.folder.config.vq_config
        self.codebook_size = self._config.num_embeddings
        self.resolution = (self._config.resolution, self._config.resolution)
        self._encoder: Any = None
        self._decoder: PixelDecoder | None = None
        self._device: Device = "cpu"

    def fingerprint(self) -> str:
        """Of the tokenizer's own tensors: models that share it share their codes."""
        weights = self.options.decoder_weights
        return fingerprint(
            self.id, {"codes": self.folder.codes_digest, "pixels": None if weights is None else sha256_of(weights.local)}
        )

    def assets(self) -> Iterator[tuple[str, Path]]:
        yield from named("model", self.folder.used())
        if self.options.decoder_weights is not None:
            yield "decoder_weights", self.options.decoder_weights.local

    def warm_up(self, device: Device = "cpu", dtype: Dtype = "float32") -> None:
        if self._encoder is None:
            from calumma_plugins.transformers.models import load_vq

            encoder = load_vq(self.folder)
            self._decoder = self._pixel_decoder(encoder)
            self._encoder = encoder
        self._encoder.to(device)
        if self._decoder is not None:
            self._decoder.to(device)
        self._device = device

    def grid(self, height: int, width: int) -> tuple[int, int]:
        factor = self._config.factor
        if height < factor or width < factor or height % factor or width % factor:
            raise InputError(
                f"A picture of {width} x {height} pixels does not fit a tokenizer of {factor} pixels per code.",
                f"Resize it to multiples of {factor}.",
            )
        h, w = height // factor, width // factor
        if h * w < self._config.least_codes:
            raise InputError("A picture of one code is too small for this tokenizer.", "Give it more pixels.")
        return h, w

    @torch.no_grad()
    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Pixels go in as 2 x - 1, as Meta's code has it; transformers' processor comes to within 1 % of that."""
        h, w = self.grid(images.shape[2], images.shape[3])
        self._warm()
        with _exact_convolutions():
            rows = [
                self._encoder.encode(image[None].to(self._device, torch.float32) * 2 - 1).image_tokens.view(h, w)
                for image in images
            ]
        return torch.stack(rows) if rows else torch.zeros(0, h, w, dtype=torch.int64, device=self._device)

    @torch.no_grad()
    def decode(self, ids: torch.Tensor) -> torch.Tensor:
        """Raises AssetError where there are no `decoder_weights`."""
        if ids.numel() and (int(ids.min()) < 0 or int(ids.max()) >= self.codebook_size):
            raise InputError(f"An image id is outside of 0..{self.codebook_size - 1}.", "Decode ids of this tokenizer only.")
        self._warm()
        decoder, factor = self._decoder, self._config.factor
        if decoder is None:
            raise AssetError(
                f"{self.options.model.source} turns pictures into codes only: it holds no weights of a pixel decoder.",
                "Give `decoder_weights`, the vqgan.ckpt that Meta publish with Chameleon.",
            )
        with _exact_convolutions():
            rows = [((decoder.picture(row.to(self._device)) + 1) / 2).clamp(0, 1) for row in ids]
        shape = (0, 3, ids.shape[1] * factor, ids.shape[2] * factor)
        return torch.cat(rows) if rows else torch.zeros(shape, device=self._device)

    def _pixel_decoder(self, encoder: Any) -> PixelDecoder | None:
        from calumma_plugins.transformers.pixels import decoder_beside, decoder_inside

        if self.options.decoder_weights is not None:
            table = encoder.quantize.embedding.weight
            return decoder_beside(self.options.decoder_weights.local, self._config, table, self.folder)
        if any(name.startswith(PIXELS) for name in self.folder.shapes):
            return decoder_inside(self._config, encoder, self.folder)
        return None

    def _warm(self) -> None:
        if self._encoder is None:
            self.warm_up()


def _exact_convolutions() -> contextlib.AbstractContextManager[None]:
    """cuDNN without autotuning and without TF32: the same codes in every run."""
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
