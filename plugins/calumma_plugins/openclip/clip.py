"""openclip/clip: CLIP as the bank's and the query's embedder, with open_clip's own tokenizer and preprocessing."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import open_clip
import torch
from PIL import Image
from torch.nn import functional

from calumma.documents import Pixels
from calumma.errors import AssetError, ComponentError
from calumma.extension.checkpoints import check_checkpoint
from calumma.interfaces import Device, Dtype, Embedder, Vectors
from calumma_plugins.openclip.config import CLIPConfig, read_config
from calumma_plugins.openclip.options import CLIPOptions

LOADING = Lock()  # pictures are prepared by several threads, any of which may be the first to need the model
PICKLES = (".pt", ".pth", ".bin", ".ckpt")


class CLIP(Embedder):
    """Float32 whatever the file stores, so that vectors made on one machine can be compared with those of another."""

    Options = CLIPOptions
    options: CLIPOptions

    def __init__(self, options: CLIPOptions) -> None:
        super().__init__(options)
        self.config = read_config(options)
        self.dimension = self.config.dimension
        self._model: torch.nn.Module | None = None
        self._device: Device = "cpu"

    def fingerprint(self) -> str:
        """Of a file whose header has the architecture and the preprocessing, by its sha256; else those that the names mean too.

        A name may come to mean something else with another version of open_clip: activation, resolution, normalisation.
        """
        named = super().fingerprint()
        if self.config.name is None:
            return named
        meant = {"model": self.config.model, "preprocess": self.config.preprocess, "published": self._published()}
        digest = hashlib.sha256(json.dumps([named, meant], sort_keys=True, default=str).encode()).hexdigest()
        return f"{self.id}#{digest[:16]}"

    def _published(self) -> dict[str, Any]:
        """What open_clip says of the tag beside where its weights lie: mean, std, interpolation, activation."""
        if self.options.pretrained is None:
            return {}
        found: dict[str, Any] = open_clip.get_pretrained_cfg(self.config.name, self.options.pretrained) or {}
        return {name: value for name, value in found.items() if name not in ("url", "hf_hub")}

    def warm_up(self, device: Device = "cpu", dtype: Dtype = "float32") -> None:
        with LOADING:
            if self._model is None:
                self._model = self._create().eval().requires_grad_(False)
        self._model.to(device)
        self._device = device

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        model = self._warm()
        return self._embed(texts, self._tokenize, lambda batch: model.encode_text(batch, normalize=True))

    def embed_images(self, images: Sequence[Pixels]) -> Vectors:
        return self._embed_images(images, lambda some: torch.stack([self.prepare_image(pixels) for pixels in some]))

    def prepare_image(self, pixels: Pixels) -> torch.Tensor:
        """float32 [3, size, size], resized and normalised by open_clip's own transform."""
        return self._transform(Image.fromarray(np.ascontiguousarray(pixels), "RGB"))

    def embed_prepared(self, images: Sequence[torch.Tensor]) -> Vectors:
        return self._embed_images(images, lambda some: torch.stack(list(some)))

    def _embed_images(self, images: Sequence[Any], prepare: Callable[[Sequence[Any]], torch.Tensor]) -> Vectors:
        model = self._warm()
        return self._embed(images, prepare, lambda batch: model.encode_image(batch, normalize=True))

    @torch.inference_mode()
    def _embed(
        self,
        inputs: Sequence[Any],
        prepare: Callable[[Sequence[Any]], torch.Tensor],
        encode: Callable[[torch.Tensor], torch.Tensor],
    ) -> Vectors:
        rows = np.zeros((len(inputs), self.dimension), np.float32)
        for start in range(0, len(inputs), self.options.batch_size):
            batch = prepare(inputs[start : start + self.options.batch_size]).to(self._device)
            rows[start : start + len(batch)] = functional.normalize(encode(batch).float(), dim=-1).cpu().numpy()
        return rows

    def _tokenize(self, texts: Sequence[str]) -> torch.Tensor:
        return torch.as_tensor(self._tokenizer(list(texts)))

    @cached_property
    def _tokenizer(self) -> Callable[[list[str]], torch.Tensor]:
        try:
            tokenizer: Callable[[list[str]], torch.Tensor] = open_clip.get_tokenizer(self._name)
        except Exception as error:  # some architectures fetch their tokenizer from a hub
            raise AssetError(
                f"The tokenizer of {self._name} cannot be had.", "Run once with a network, or use another model."
            ) from error
        return tokenizer

    @cached_property
    def _transform(self) -> Callable[[Image.Image], torch.Tensor]:
        config = dict(open_clip.get_model_preprocess_cfg(self._warm()))
        size = config.pop("size")
        config.pop("mode", None)
        transform: Callable[[Image.Image], torch.Tensor] = open_clip.image_transform(size, is_train=False, **config)
        return transform

    @cached_property
    def _name(self) -> str:
        """The name under which open_clip knows the architecture; one that came from a header is made known to it."""
        return self.config.name or _announce(self.config)

    def _create(self) -> torch.nn.Module:
        source = str(self.options.weights.local) if self.options.weights else str(self.options.pretrained)
        if self.options.weights is None:
            tags = open_clip.list_pretrained_tags_by_model(self._name)
            if source not in tags:
                raise ComponentError(
                    f"open_clip has no weights {source!r} for {self._name}.",
                    f"It has: {', '.join(tags) or 'none; give `weights`'}.",
                )
        elif self.options.weights.local.suffix != ".safetensors":
            if self.options.weights.local.suffix not in PICKLES:
                raise AssetError(
                    f"{source} is no file of weights.", f"Give a .safetensors file, or one of {', '.join(PICKLES)}."
                )
            check_checkpoint(self.options.weights.local)
        try:
            model: torch.nn.Module = open_clip.create_model(
                self._name, pretrained=source, precision="fp32", weights_only=True, force_preprocess_cfg=self.config.preprocess
            )
        except Exception as error:  # open_clip and its hub raise many kinds, all of which mean: no usable weights
            if self.options.weights is None:
                raise AssetError(
                    f"The weights {source!r} of {self._name} cannot be fetched ({_first_line(error)}).",
                    "Fetch them where there is a network, and give the file as `weights`.",
                ) from error
            raise AssetError(
                f"{source} does not fit {self.config.name or 'the architecture in its header'} ({_first_line(error)}).",
                "Check the file and `model`.",
            ) from error
        return model

    def _warm(self) -> Any:
        if self._model is None:
            self.warm_up()
        return self._model


def _announce(config: CLIPConfig) -> str:
    text = json.dumps(config.model, sort_keys=True)
    name = f"calumma-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    if open_clip.get_model_config(name) is None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{name}.json"
            path.write_text(text, encoding="utf-8")
            open_clip.add_model_config(path)
    return name


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
