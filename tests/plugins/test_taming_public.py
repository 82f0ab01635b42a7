"""taming/vqgan: the layouts that CompVis publish, held against taming's own modules with the same random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file
from taming.modules.diffusionmodules.model import Decoder, Encoder
from taming.modules.vqvae.quantize import GumbelQuantize, VectorQuantizer2
from torch import nn
from torch.nn import functional

from calumma.errors import AssetError
from calumma_plugins.taming.options import VQGANOptions
from calumma_plugins.taming.vqgan import VQGAN

from .conftest import asset

pytestmark = pytest.mark.usefixtures("one_thread")
CODES = 24
USED = np.array([3, 17, 0, 9, 21, 12, 6, 1])
# In the small: as many halvings and attentions; blocks, widths and codebooks are cut down.
LAYOUTS: dict[str, dict[str, Any]] = {
    "imagenet f16": {"ch_mult": [1, 1, 2, 2, 4], "attn_resolutions": [2], "num_res_blocks": 1, "resolution": 32},
    "gumbel openimages f8": {"ch_mult": [1, 1, 2, 4], "attn_resolutions": [4], "num_res_blocks": 1, "resolution": 32},
}


class Reference(nn.Module):
    """taming's modules as its VQModel and GumbelVQ wire them."""

    def __init__(self, layout: str, **quantize: Any) -> None:
        super().__init__()
        network = network_of(layout)
        self.encoder, self.decoder = Encoder(**network), Decoder(**network)
        gumbel = layout.startswith("gumbel")
        self.quantize = GumbelQuantize(8, 8, CODES, **quantize) if gumbel else VectorQuantizer2(CODES, 8, beta=0.25, **quantize)
        self.quant_conv, self.post_quant_conv = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1)
        table = self.quantize.embed if gumbel else self.quantize.embedding
        nn.init.normal_(table.weight)
        nn.init.normal_(self.quant_conv.weight, std=2.0)

    @torch.no_grad()
    def codes(self, image: torch.Tensor) -> torch.Tensor:
        latent = self.quant_conv(self.encoder(image[None] * 2 - 1))
        with patch.object(functional, "gumbel_softmax", likeliest):
            return self.quantize(latent)[2][2].view(latent.shape[2:])

    @torch.no_grad()
    def picture(self, ids: torch.Tensor) -> torch.Tensor:
        entry = self.quantize.get_codebook_entry(ids.clone().reshape(-1), (1, *ids.shape, 8))
        return ((self.decoder(self.post_quant_conv(entry)) + 1) / 2).clamp(0, 1)[0]


def likeliest(logits: torch.Tensor, tau: float, dim: int, hard: bool) -> torch.Tensor:
    """Gumbel-softmax without its noise."""
    return functional.one_hot(logits.argmax(dim), logits.shape[dim]).movedim(-1, dim).float()


def network_of(layout: str) -> dict[str, Any]:
    fixed = {"double_z": False, "z_channels": 8, "in_channels": 3, "out_ch": 3, "ch": 32, "dropout": 0.0}
    return {**fixed, **LAYOUTS[layout]}


def reference(layout: str, **quantize: Any) -> Reference:
    torch.manual_seed(0)
    return Reference(layout, **quantize).eval()


def published(folder: Path, layout: str, state: dict[str, torch.Tensor], **params: Any) -> VQGANOptions:
    """Options of files as they are published: a Lightning checkpoint with the training loss, a YAML with its settings."""
    gumbel = layout.startswith("gumbel")
    loss = {"loss.discriminator.main.0.weight": torch.zeros(2), "loss.perceptual_loss.lin0.model.1.weight": torch.zeros(3)}
    torch.save({"epoch": 7, "global_step": 100, "state_dict": {**state, **loss}}, folder / "last.ckpt")
    config = {
        "embed_dim": 8,
        "n_embed": CODES,
        "ddconfig": network_of(layout),
        "lossconfig": {"target": "taming.modules.losses.vqperceptual.VQLPIPSWithDiscriminator", "params": {"disc_start": 1}},
        **({"kl_weight": 1.0e-08, "temperature_scheduler_config": {"target": "a.Scheduler"}} if gumbel else {}),
        **params,
    }
    target = f"taming.models.vqgan.{'GumbelVQ' if gumbel else 'VQModel'}"
    text = yaml.safe_dump({"model": {"base_learning_rate": 4.5e-6, "target": target, "params": config}})
    (folder / "model.yaml").write_text(text, encoding="utf-8")
    return VQGANOptions(weights=asset(folder / "last.ckpt"), config=asset(folder / "model.yaml"))


def remapped(folder: Path, options: VQGANOptions, used: np.ndarray = USED) -> VQGANOptions:
    np.save(folder / "used.npy", used)
    return options.model_copy(update={"remap": asset(folder / "used.npy")})


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(3, 3, 32, 48, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_codes_and_pixels_are_those_of_tamings_modules(tmp_path: Path, layout: str, images: torch.Tensor) -> None:
    model = reference(layout)
    tokenizer = VQGAN(published(tmp_path, layout, model.state_dict()))
    codes = tokenizer.encode(images)
    assert codes.unique().numel() > 4
    assert torch.equal(codes, torch.stack([model.codes(image) for image in images]))
    assert torch.allclose(tokenizer.decode(codes), torch.stack([model.picture(one) for one in codes]), atol=2e-5)
    assert float(tokenizer.decode(codes).std()) > 0.01


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_vqgan_of_a_transformers_checkpoint_is_found(tmp_path: Path, layout: str, images: torch.Tensor) -> None:
    """A transformer is published with the VQGAN that made its codes, below `first_stage_model.`."""
    model = reference(layout)
    state = {f"first_stage_model.{name}": value for name, value in model.state_dict().items()}
    options = published(tmp_path, layout, {**state, "transformer.head.weight": torch.zeros(3, 3)})
    content = yaml.safe_load((tmp_path / "model.yaml").read_text())
    outer = {"target": "taming.models.cond_transformer.Net2NetTransformer", "params": {"first_stage_config": content["model"]}}
    (tmp_path / "model.yaml").write_text(yaml.safe_dump({"model": outer}))
    assert torch.equal(VQGAN(options).encode(images[:1])[0], model.codes(images[0]))


@pytest.mark.parametrize("unknown", ["extra", 5])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_remapped_codes_are_those_of_tamings_modules(tmp_path: Path, layout: str, unknown: Any, images: torch.Tensor) -> None:
    np.save(tmp_path / "used.npy", USED)
    model = reference(layout, remap=str(tmp_path / "used.npy"), unknown_index=unknown)
    params = {"remap": "data/used.npy", "unknown_index": unknown}
    tokenizer = VQGAN(remapped(tmp_path, published(tmp_path, layout, model.state_dict(), **params)))
    assert tokenizer.codebook_size == len(USED) + (unknown == "extra")
    codes = tokenizer.encode(images)
    assert torch.equal(codes, torch.stack([model.codes(image) for image in images]))
    every = torch.arange(tokenizer.codebook_size).repeat(2)[: len(USED)].view(1, 2, 4)
    every[0, 0, 0] = tokenizer.codebook_size - 1
    assert torch.allclose(tokenizer.decode(every)[0], model.picture(every[0]), atol=2e-5)


def test_a_code_that_is_not_used_becomes_the_nearest_that_is(tmp_path: Path, images: torch.Tensor) -> None:
    """taming draws one at random by default; ids of a picture that changed from one reading to the next would be no ids."""
    model = reference("imagenet f16")
    tokenizer = VQGAN(remapped(tmp_path, published(tmp_path, "imagenet f16", model.state_dict(), remap="used.npy")))
    for image in images:
        with torch.no_grad():
            latent = model.quant_conv(model.encoder(image[None] * 2 - 1))[0]
        table = model.quantize.embedding.weight.detach()[USED]
        distances = (latent[None] - table[:, :, None, None]).square().sum(1)
        assert torch.equal(tokenizer.encode(image[None])[0], distances.argmin(0))
        known = torch.isin(model.codes(image), torch.from_numpy(USED))
        assert not known.all()
        assert torch.equal(torch.from_numpy(USED)[tokenizer.encode(image[None])[0]][known], model.codes(image)[known])


@pytest.mark.parametrize(
    ("used", "says"),
    [
        (np.array([1, 2, 2]), "each once"),
        (np.array([1, CODES]), "each once"),
        (np.array([-1, 2]), "each once"),
        (np.array([[1, 2]]), "no NumPy file"),
        (np.array([1.0, 2.0]), "no NumPy file"),
        (np.array([], np.int64), "no NumPy file"),
        (np.array([None, "a"]), "no NumPy file"),
    ],
    ids=["twice", "beyond", "negative", "a table", "no whole numbers", "none", "objects"],
)
def test_a_list_of_used_codes_that_is_none_is_refused(tmp_path: Path, used: np.ndarray, says: str) -> None:
    options = published(tmp_path, "imagenet f16", {}, remap="used.npy")
    np.save(tmp_path / "wrong.npy", used, allow_pickle=True)
    with pytest.raises(AssetError, match=says):
        VQGAN(options.model_copy(update={"remap": asset(tmp_path / "wrong.npy")}))


def test_remapped_weights_refuse_the_list_of_others(tmp_path: Path) -> None:
    np.save(tmp_path / "used.npy", USED)
    model = reference("imagenet f16", remap=str(tmp_path / "used.npy"))
    options = published(tmp_path, "imagenet f16", model.state_dict(), remap="used.npy")
    with pytest.raises(AssetError, match=r"last\.ckpt was remapped to other codes than .*used\.npy lists"):
        VQGAN(remapped(tmp_path, options, USED[::-1].copy())).warm_up()
    with pytest.raises(AssetError, match="unknown_index 8 is not among the 8 ids"):
        VQGAN(remapped(tmp_path, published(tmp_path, "imagenet f16", {}, remap="used.npy", unknown_index=8)))
    with pytest.raises(AssetError, match=r"remapped with used\.npy, and no such file is given"):
        VQGAN(options)


def test_missing_and_surplus_tensors_are_both_listed(tmp_path: Path) -> None:
    state = reference("gumbel openimages f8").state_dict()
    wrong = {name: value for name, value in state.items() if name != "quantize.proj.bias"}
    options = published(tmp_path, "gumbel openimages f8", {**wrong, "quantize.embedding.weight": torch.zeros(2, 2)})
    with pytest.raises(AssetError, match=r"1 missing \(quantize\.proj\.bias\), 1 unexpected \(quantize\.embedding\.weight\)"):
        VQGAN(options).warm_up()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, value: float) -> None:
    model = reference("imagenet f16")
    options = published(tmp_path, "imagenet f16", {})
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state["decoder.conv_in.bias"][3] = value
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(AssetError, match=r"1 tensors with values that are not finite \(decoder\.conv_in\.bias\)") as caught:
        VQGAN(options.model_copy(update={"weights": asset(tmp_path / "w.safetensors")})).warm_up()
    assert caught.value.fix
