"""Codes to pixels: the decoder of taming's VQGAN, which is what Meta's vqgan.ckpt holds beside the encoder."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import torch
from taming.modules.diffusionmodules.model import Decoder
from torch import Tensor, nn

from calumma.errors import MismatchError
from calumma.extension.checkpoints import check_finite, check_fit, read_tensors
from calumma_plugins.transformers.config import VQConfig
from calumma_plugins.transformers.folder import PIXELS, Folder

TABLE = "quantize.embedding.weight"
OF_ENCODING = ("encoder.", "quant_conv.", "loss.")  # what drawing does not need


class PixelDecoder(nn.Module):
    """The drawing half of CompVis' VQModel, under the same state-dict names."""

    def __init__(self, config: VQConfig) -> None:
        super().__init__()
        with contextlib.redirect_stdout(io.StringIO()):  # taming's Decoder prints its latent shape
            self.decoder: Any = Decoder(
                ch=config.base_channels,
                out_ch=3,
                ch_mult=config.channel_multiplier,
                num_res_blocks=config.num_res_blocks,
                attn_resolutions=config.attn_resolutions or (),
                dropout=config.dropout,
                in_channels=config.in_channels,
                resolution=config.resolution,
                z_channels=config.latent_channels,
            )
        self.post_quant_conv = nn.Conv2d(config.embed_dim, config.latent_channels, 1)
        self.quantize = nn.Module()
        self.quantize.embedding = nn.Embedding(config.num_embeddings, config.embed_dim)

    def picture(self, ids: Tensor) -> Tensor:
        """Ids int64 [h, w] -> image [1, 3, H, W], about [-1, 1]."""
        codes: Any = self.quantize.embedding
        image: Tensor = self.decoder(self.post_quant_conv(codes(ids[None]).permute(0, 3, 1, 2)))
        return image


def decoder_beside(path: Path, config: VQConfig, table: Tensor, folder: Folder) -> PixelDecoder:
    """The decoder of Meta's vqgan.ckpt. Raises AssetError; MismatchError where its codebook is another than the folder's.

    Args:
        table: the folder's codebook [K, D], which may have been rounded to fewer bits than the file's.
    """
    state = {name: value for name, value in read_tensors(path).items() if not name.startswith(OF_ENCODING)}
    model = _filled(config, state, f"{path} does not fit the config.json of {folder.path}", "Give the file of this model.")
    check_finite(path, state)
    own = state[TABLE].float()
    rounded = (own, own.bfloat16().float(), own.half().float())
    if not any(torch.equal(one, table.cpu().float()) for one in rounded):
        raise MismatchError(f"{path} draws other codes than {folder.path} has.", "Give the vqgan.ckpt of the same model.")
    return model


def decoder_inside(config: VQConfig, encoder: Any, folder: Folder) -> PixelDecoder:
    """The decoder that some conversions keep in the folder, below the encoder's names. Raises AssetError."""
    with torch.device("meta"):
        wanted = PixelDecoder(config).decoder.state_dict()
    tensors = folder.load(lambda name: name.startswith(PIXELS), {name: value.shape for name, value in wanted.items()}, PIXELS)
    state = {f"decoder.{name}": value for name, value in tensors.items()}
    shared = {name: value for name, value in encoder.state_dict().items() if name == TABLE or name.startswith("post_quant")}
    return _filled(config, state | shared, f"The weights in {folder.path} do not fit its config.json", "Fetch it again.")


def _filled(config: VQConfig, state: dict[str, Tensor], name: str, fix: str) -> PixelDecoder:
    with torch.device("meta"):
        wanted = {key: value.shape for key, value in PixelDecoder(config).state_dict().items()}
    check_fit(name, wanted, {key: value.shape for key, value in state.items()}, fix)
    model = PixelDecoder(config)
    model.load_state_dict({key: value.float() for key, value in state.items()})
    return model.eval().requires_grad_(False)
