"""taming/vqgan: the image tokenizer of CM3Leon's family (VQGAN, Esser et al. 2021, arXiv:2012.09841).

Built from taming's own encoder, decoder and quantizers; `taming.models.vqgan` itself no longer imports under today's Lightning.
"""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass

import numpy as np
import torch
from taming.modules.diffusionmodules.model import Decoder, Encoder
from taming.modules.vqvae.quantize import GumbelQuantize, VectorQuantizer2
from torch import nn

from calumma.documents import IntArray
from calumma.errors import AssetError, InputError
from calumma.extension.checkpoints import check_finite, check_fit
from calumma.interfaces import Device, Dtype, ImageTokenizer
from calumma_plugins.taming.checkpoint import read_state_dict
from calumma_plugins.taming.config import VQGANConfig, read_config, read_used
from calumma_plugins.taming.options import VQGANOptions

COMMITMENT = 0.25  # weight of a training loss; it has no part in encoding


class VQModel(nn.Module):
    """The modules of CompVis' VQModel (or GumbelVQ), under the same state-dict names."""

    def __init__(self, config: VQGANConfig) -> None:
        super().__init__()
        network = config.ddconfig.model_dump()
        with contextlib.redirect_stdout(io.StringIO()):  # taming's Decoder prints its latent shape
            self.encoder = Encoder(**network)
            self.decoder = Decoder(**network)
        channels = config.ddconfig.z_channels
        self.quantize: GumbelQuantize | VectorQuantizer2
        if config.quantizer == "gumbel":
            self.quantize = GumbelQuantize(channels, config.embed_dim, config.n_embed)
        else:
            self.quantize = VectorQuantizer2(config.n_embed, config.embed_dim, COMMITMENT)
        self.quant_conv = nn.Conv2d(channels, config.embed_dim, 1)
        self.post_quant_conv = nn.Conv2d(config.embed_dim, channels, 1)

    def codes(self, image: torch.Tensor) -> torch.Tensor:
        """Image [1, 3, H, W] in [-1, 1] -> codes int64 [h, w]."""
        latent = self.latent(image)
        if isinstance(self.quantize, GumbelQuantize):
            most_likely: torch.Tensor = self.quantize.proj(latent).argmax(1)[0]  # its forward would draw noise
            return most_likely
        _, _, (_, _, ids) = self.quantize(latent)
        nearest: torch.Tensor = ids.view(latent.shape[2:])
        return nearest

    def codes_among(self, image: torch.Tensor, used: torch.Tensor) -> torch.Tensor:
        """Image [1, 3, H, W] in [-1, 1] -> places int64 [h, w] in `used` [R] of the nearest, or likeliest, of those codes."""
        latent = self.latent(image)
        if isinstance(self.quantize, GumbelQuantize):
            likeliest: torch.Tensor = self.quantize.proj(latent)[:, used].argmax(1)[0]
            return likeliest
        table = self.quantize.embedding.weight[used]
        distances: torch.Tensor = table.square().sum(1)[:, None, None] - 2 * torch.einsum("dhw,rd->rhw", latent[0], table)
        return distances.argmin(0)

    def latent(self, image: torch.Tensor) -> torch.Tensor:
        """Image [1, 3, H, W] in [-1, 1] -> what is quantized, [1, D, h, w]."""
        latent: torch.Tensor = self.quant_conv(self.encoder(image))
        return latent

    def picture(self, ids: torch.Tensor) -> torch.Tensor:
        """Codes int64 [h, w] -> image [1, 3, H, W], about [-1, 1]."""
        table = self.quantize.embed if isinstance(self.quantize, GumbelQuantize) else self.quantize.embedding
        image: torch.Tensor = self.decoder(self.post_quant_conv(table(ids[None]).permute(0, 3, 1, 2)))
        return image


class VQGAN(ImageTokenizer):
    """Pictures one by one and in float32 always, so that neither batch nor dtype ever changes a code."""

    Options = VQGANOptions
    options: VQGANOptions

    def __init__(self, options: VQGANOptions) -> None:
        super().__init__(options)
        self.config = read_config(options.weights.local, options.config.local if options.config else None)
        self.remap = _remap(self.config, options)
        self.codebook_size = self.config.n_embed if self.remap is None else self.remap.size
        self.resolution = (self.config.ddconfig.resolution, self.config.ddconfig.resolution)
        self._model: VQModel | None = None
        self._device: Device = "cpu"

    def warm_up(self, device: Device = "cpu", dtype: Dtype = "float32") -> None:
        if self._model is None:
            self._model = _loaded(self.config, self.options, self.remap).eval().requires_grad_(False)
        self._model.to(device)
        self._device = device

    def grid(self, height: int, width: int) -> tuple[int, int]:
        factor = self.config.ddconfig.factor
        if height < factor or width < factor or height % factor or width % factor:
            raise InputError(
                f"A picture of {width} x {height} pixels does not fit a tokenizer of {factor} pixels per code.",
                f"Resize it to multiples of {factor}.",
            )
        h, w = height // factor, width // factor
        if h * w < self.config.ddconfig.least_codes:
            raise InputError(f"A picture of {width} x {height} pixels has one code, too few to normalise.", "Enlarge it.")
        return h, w

    @torch.no_grad()
    def encode(self, images: torch.Tensor) -> torch.Tensor:
        h, w = self.grid(images.shape[2], images.shape[3])
        model = self._warm()
        with _exact_convolutions():
            rows = [self._ids(model, image[None].to(self._device, torch.float32) * 2 - 1) for image in images]
        return torch.stack(rows) if rows else torch.zeros(0, h, w, dtype=torch.int64, device=self._device)

    @torch.no_grad()
    def decode(self, ids: torch.Tensor) -> torch.Tensor:
        if ids.numel() and (int(ids.min()) < 0 or int(ids.max()) >= self.codebook_size):
            raise InputError(f"An image id is outside of 0..{self.codebook_size - 1}.", "Decode ids of this tokenizer only.")
        model, factor = self._warm(), self.config.ddconfig.factor
        with _exact_convolutions():
            rows = [((model.picture(self._codes(row.to(self._device))) + 1) / 2).clamp(0, 1) for row in ids]
        shape = (0, 3, ids.shape[1] * factor, ids.shape[2] * factor)
        return torch.cat(rows) if rows else torch.zeros(shape, device=self._device)

    def _ids(self, model: VQModel, image: torch.Tensor) -> torch.Tensor:
        if self.remap is None:
            return model.codes(image)
        used = torch.from_numpy(self.remap.used).to(self._device)
        if isinstance(model.quantize, GumbelQuantize):  # taming leaves the others out before it picks
            return model.codes_among(image, used)
        codes = model.codes(image)
        match = codes[..., None] == used
        nearest = model.codes_among(image, used) if self.remap.unknown is None else self.remap.unknown
        return torch.where(match.any(-1), match.int().argmax(-1), nearest)

    def _codes(self, ids: torch.Tensor) -> torch.Tensor:
        if self.remap is None:
            return ids
        used = torch.from_numpy(self.remap.used).to(self._device)
        return used[torch.where(ids < len(used), ids, 0)]  # the id of what is unknown is drawn as the first, as in taming

    def _warm(self) -> VQModel:
        if self._model is None:
            self.warm_up()
        assert self._model is not None
        return self._model


def _exact_convolutions() -> contextlib.AbstractContextManager[None]:
    """cuDNN without autotuning and without TF32: the same codes in every run."""
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)


@dataclass(frozen=True, eq=False)
class Remap:
    """The codes that have ids, int64 [R]; the number of ids; the id of any other code, None for that of the nearest."""

    used: IntArray
    size: int
    unknown: int | None


def _remap(config: VQGANConfig, options: VQGANOptions) -> Remap | None:
    if options.remap is None:
        if config.remap is not None:
            raise AssetError(
                f"The codes of {options.weights.source} were remapped with {config.remap}, and no such file is given.",
                "Give it as `remap`.",
            )
        return None
    used = read_used(options.remap.local, config.n_embed)
    size = len(used) + (config.unknown_index == "extra")
    unknown = len(used) if config.unknown_index == "extra" else config.unknown_index
    if unknown == "random":
        return Remap(used, size, None)
    if unknown >= size:
        raise AssetError(f"The unknown_index {unknown} is not among the {size} ids.", "Give the .npy of these weights.")
    return Remap(used, size, unknown)


def _loaded(config: VQGANConfig, options: VQGANOptions, remap: Remap | None) -> VQModel:
    path = options.weights.local
    with torch.device("meta"):  # shapes alone, so that no memory is asked for that the file does not fill
        wanted = {name: one.shape for name, one in VQModel(config).state_dict().items()}
    state = read_state_dict(path)
    used = state.pop("quantize.used", None) if remap is not None else None
    if remap is not None and used is not None and not np.array_equal(used.numpy(), remap.used):
        raise AssetError(
            f"{path} was remapped to other codes than {options.remap and options.remap.source} lists.",
            "Give the .npy of these weights.",
        )
    found = {name: one.shape for name, one in state.items()}
    check_fit(f"{path} does not fit its config", wanted, found, "Give the config that these weights were trained with.")
    check_finite(path, state)
    model = VQModel(config)
    model.load_state_dict(state)
    return model
