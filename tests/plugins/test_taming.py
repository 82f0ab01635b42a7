"""taming/vqgan: taming's own codes, from files of today and from those that CompVis publish, and no code run from any."""

from __future__ import annotations

import logging
import os
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import save_file
from taming.modules.vqvae.quantize import GumbelQuantize, VectorQuantizer2

from calumma.errors import AssetError, InputError
from calumma_plugins.taming.example import TINY as CONFIG
from calumma_plugins.taming.options import VQGANOptions
from calumma_plugins.taming.vqgan import VQGAN

from .conftest import asset

State = dict[str, torch.Tensor]


def build(weights: Path, config: Path | None = None) -> VQGAN:
    return VQGAN(VQGANOptions(weights=asset(weights), config=asset(config) if config else None))


def write_yaml(path: Path, target: str = "taming.models.vqgan.VQModel", **params: Any) -> Path:
    path.write_text(yaml.safe_dump({"model": {"base_learning_rate": 4.5e-6, "target": target, "params": {**CONFIG, **params}}}))
    return path


def lightning_file(path: Path, state: State, extra: Any = None) -> Path:
    """A checkpoint as Lightning of 2020 wrote it: the callback's class is a key, the loss is among the weights."""
    name = "pytorch_lightning.callbacks.model_checkpoint"
    callback = type("ModelCheckpoint", (), {"__module__": name})
    fake, before = types.ModuleType(name), sys.modules.get(name)
    fake.ModelCheckpoint = callback
    sys.modules[name] = fake
    try:
        loss = {"loss.discriminator.main.0.weight": torch.zeros(2), "loss.perceptual_loss.lin0": torch.zeros(3)}
        callbacks = {callback: {"best_model_score": torch.tensor(1.0), "best_model_path": "a.ckpt", "object": callback()}}
        torch.save({"epoch": 3, "callbacks": callbacks, "state_dict": {**state, **loss}, "extra": extra}, path)
    finally:
        if before is None:
            del sys.modules[name]
        else:
            sys.modules[name] = before
    return path


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(5, 3, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def reference(vqgan_state: State, images: torch.Tensor) -> torch.Tensor:
    """Codes that taming's modules give, called directly, picture by picture."""
    from taming.modules.diffusionmodules.model import Encoder

    encoder, quantize = Encoder(**CONFIG["ddconfig"]), VectorQuantizer2(24, 8, beta=0.25)
    conv = torch.nn.Conv2d(8, 8, 1)
    for module, prefix in ((encoder, "encoder."), (quantize, "quantize."), (conv, "quant_conv.")):
        module.load_state_dict({k.removeprefix(prefix): v for k, v in vqgan_state.items() if k.startswith(prefix)})
    encoder.eval()
    with torch.no_grad():
        return torch.stack([quantize(conv(encoder(one[None] * 2 - 1)))[2][2].view(4, 4) for one in images])


def test_a_taming_yaml_and_its_state_dict_give_tamings_own_codes(
    tmp_path: Path, vqgan_state: State, images: torch.Tensor, reference: torch.Tensor
) -> None:
    torch.save({"state_dict": vqgan_state}, tmp_path / "model.ckpt")
    tokenizer = build(tmp_path / "model.ckpt", write_yaml(tmp_path / "model.yaml"))
    codes = tokenizer.encode(images)
    assert codes.dtype == torch.int64
    assert len(codes.unique()) > 4
    assert torch.equal(codes, reference)


def test_the_config_in_the_header_is_enough(vqgan_file: Path, images: torch.Tensor, reference: torch.Tensor) -> None:
    assert torch.equal(build(vqgan_file).encode(images), reference)


def test_sizes_are_known_before_any_weight_is_read(tmp_path: Path) -> None:
    (tmp_path / "empty.ckpt").write_bytes(b"")
    tokenizer = build(tmp_path / "empty.ckpt", write_yaml(tmp_path / "model.yaml"))
    assert (tokenizer.codebook_size, tokenizer.resolution, tokenizer.grid(32, 16)) == (24, (16, 16), (8, 4))
    with pytest.raises(InputError, match="17 x 16"):
        tokenizer.grid(16, 17)
    with pytest.raises(AssetError, match="not a readable PyTorch checkpoint"):
        tokenizer.warm_up()


def test_a_gumbel_tokenizer_takes_the_most_likely_code_each_time(
    tmp_path: Path, vqgan_state: State, images: torch.Tensor
) -> None:
    quantize = GumbelQuantize(8, 8, 24)
    state = {k: v for k, v in vqgan_state.items() if not k.startswith("quantize.")}
    state |= {f"quantize.{k}": v for k, v in quantize.state_dict().items()}
    torch.save(state, tmp_path / "gumbel.ckpt")
    tokenizer = build(
        tmp_path / "gumbel.ckpt", write_yaml(tmp_path / "g.yaml", target="taming.models.vqgan.GumbelVQ", kl_weight=1e-8)
    )
    codes = tokenizer.encode(images)
    assert torch.equal(codes, tokenizer.encode(images))
    assert tokenizer.decode(codes).shape == images.shape


def test_a_lightning_pickle_loads_and_says_what_it_left_out(
    tmp_path: Path, vqgan_state: State, images: torch.Tensor, reference: torch.Tensor, caplog: pytest.LogCaptureFixture
) -> None:
    path = lightning_file(tmp_path / "last.ckpt", vqgan_state)
    with caplog.at_level(logging.WARNING):
        assert torch.equal(build(path, write_yaml(tmp_path / "model.yaml")).encode(images), reference)
    assert "left out 2 tensors of the training loss" in caplog.text


class Harmful:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("harm-was-done",)


def test_a_pickle_with_any_other_object_is_refused_in_one_sentence(
    tmp_path: Path, vqgan_state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = lightning_file(tmp_path / "last.ckpt", vqgan_state, extra=Harmful())
    with pytest.raises(
        AssetError, match=r"holds the Python object \S*mkdir, which could run code, so it was not opened\."
    ) as caught:
        build(path, write_yaml(tmp_path / "model.yaml")).warm_up()
    assert caught.value.message.count(". ") == 0
    assert caught.value.fix
    assert not (tmp_path / "harm-was-done").exists()


def test_tensors_that_do_not_fit_the_config_are_named(tmp_path: Path, vqgan_state: State) -> None:
    state = {k: v for k, v in vqgan_state.items() if k != "quant_conv.bias"} | {"colorize": torch.zeros(1)}
    state["quantize.embedding.weight"] = torch.zeros(3, 8)
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(AssetError) as caught:
        build(tmp_path / "w.safetensors", write_yaml(tmp_path / "model.yaml")).warm_up()
    for part in ("missing (quant_conv.bias)", "unexpected (colorize)", "another shape (quantize.embedding.weight)"):
        assert part in caught.value.message


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"ddconfig": {**CONFIG["ddconfig"], "ch": 48}}, "48 is no multiple of 32"),
        ({"ddconfig": {**CONFIG["ddconfig"], "double_z": True}}, "double_z"),
        ({"remap": "used.npy"}, r"remapped with used\.npy, and no such file is given"),
        ({"n_embed": 0}, "n_embed"),
    ],
)
def test_a_config_that_is_no_vqgans_is_refused(tmp_path: Path, params: dict[str, Any], says: str) -> None:
    with pytest.raises(AssetError, match=says):
        build(tmp_path / "w.ckpt", write_yaml(tmp_path / "model.yaml", **params))


def test_weights_without_any_config_say_what_to_give(tmp_path: Path, vqgan_state: State) -> None:
    save_file(vqgan_state, tmp_path / "w.safetensors")
    with pytest.raises(AssetError, match="no `config`") as caught:
        build(tmp_path / "w.safetensors")
    assert "YAML" in caught.value.fix


def test_nothing_is_printed_while_loading(vqgan_file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    build(vqgan_file).warm_up()
    assert capfd.readouterr() == ("", "")
