"""taming/vqgan: what a file may claim, and that its pictures are those of taming's own decoder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import save_file

from calumma.errors import AssetError, InputError
from calumma_plugins.taming.config import MAX_YAML, VQGANConfig, read_config
from calumma_plugins.taming.example import TINY, write_vqgan
from calumma_plugins.taming.options import VQGANOptions
from calumma_plugins.taming.vqgan import VQGAN, VQModel

from .conftest import asset


def network(**changes: Any) -> dict[str, Any]:
    return {"ddconfig": {**TINY["ddconfig"], **changes}}


def test_a_picture_is_what_tamings_decoder_draws_moved_from_minus_one_to_zero(tmp_path: Path) -> None:
    write_vqgan(tmp_path / "tokenizer.safetensors")
    tokenizer = VQGAN(VQGANOptions(weights=asset(tmp_path / "tokenizer.safetensors")))
    tokenizer.warm_up()
    model = tokenizer._model
    assert isinstance(model, VQModel)
    ids = torch.randint(24, (1, 4, 5), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        drawn = model.decoder(model.post_quant_conv(model.quantize.embedding(ids).permute(0, 3, 1, 2)))
    assert float(drawn.min()) < -0.1
    assert float(drawn.max()) > 0.1
    assert torch.equal(tokenizer.decode(ids), ((drawn + 1) / 2).clamp(0, 1))
    assert tokenizer.decode(ids[:0]).shape == (0, 3, 16, 20)


@pytest.mark.parametrize(
    "changes",
    [
        *({"embed_dim": size} for size in (0, 65_537)),
        *({"n_embed": size} for size in (1, 2**24 + 1)),
        {"quantizer": "sum"},
        {"remap": 7},
        *({"unknown_index": index} for index in ("nearest", -1, 2**24)),
        *(network(ch=width) for width in (0, 33, 65_568)),
        *(network(ch_mult=factors) for factors in ([], [1] * 13, [0], [1025], [1, 1.5])),
        *(network(num_res_blocks=count) for count in (0, 65)),
        network(attn_resolutions=[8] * 13),
        *(network(resolution=side) for side in (0, 18, 16_388)),
        *(network(z_channels=width) for width in (0, 65_537)),
        *(network(dropout=share) for share in (-0.1, 1.1)),
        *(network(**{name: value}) for name, value in (("in_channels", 4), ("out_ch", 1), ("double_z", True))),
    ],
    ids=str,
)
def test_a_size_that_no_vqgan_has_is_refused_before_any_weights(tmp_path: Path, changes: dict[str, Any]) -> None:
    save_file({}, tmp_path / "tokenizer.safetensors", metadata={"config": json.dumps({**TINY, **changes})})
    with pytest.raises(AssetError, match="does not describe a VQGAN"):
        read_config(tmp_path / "tokenizer.safetensors", None)


def test_what_a_config_leaves_out_is_as_taming_has_it() -> None:
    least = {name: TINY["ddconfig"][name] for name in ("ch", "ch_mult", "num_res_blocks", "resolution", "z_channels")}
    config = VQGANConfig.model_validate({"embed_dim": 8, "n_embed": 24, "ddconfig": least})
    assert (config.quantizer, config.ddconfig.dropout, config.ddconfig.double_z) == ("vq", 0.0, False)
    assert (config.ddconfig.in_channels, config.ddconfig.out_ch, config.ddconfig.attn_resolutions) == (3, 3, ())


@pytest.mark.parametrize(("ch_mult", "pixels"), [([1], 1), ([1, 1], 2), ([1, 1, 2], 4), ([1, 1, 2, 2], 8)])
def test_each_step_of_the_network_halves_the_picture(ch_mult: list[int], pixels: int) -> None:
    assert VQGANConfig.model_validate({**TINY, **network(ch_mult=ch_mult)}).ddconfig.factor == pixels


@pytest.mark.parametrize(
    ("ch", "ch_mult", "least"),
    [(32, [1, 1, 1], 2), (64, [1, 1, 1], 1), (32, [1, 2, 2], 1), (32, [2, 2, 1], 2), (32, [1], 2), (32, [2], 2), (64, [2], 1)],
)
def test_one_code_is_too_few_where_a_group_has_one_channel(ch: int, ch_mult: list[int], least: int) -> None:
    config = VQGANConfig.model_validate({**TINY, **network(ch=ch, ch_mult=ch_mult, attn_resolutions=[])})
    assert config.ddconfig.least_codes == least


def test_a_picture_of_one_code_is_refused_and_one_of_two_is_not(tmp_path: Path) -> None:
    write_vqgan(tmp_path / "tokenizer.safetensors")
    tokenizer = VQGAN(VQGANOptions(weights=asset(tmp_path / "tokenizer.safetensors")))
    with pytest.raises(InputError, match="one code"):
        tokenizer.grid(4, 4)
    assert (tokenizer.grid(4, 8), tokenizer.grid(8, 4)) == ((1, 2), (2, 1))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("model: &a {params: {}}\nagain: *a\n", "is not a taming-style YAML"),
        (" " * MAX_YAML + "\n", "is not a taming-style YAML"),
        ("model: {params: {embed_dim: 8}}\n", "does not describe a VQGAN: n_embed"),
        ("model: {target: a.b}\n", "is not a taming-style YAML"),
    ],
    ids=["an alias", "too large", "sizes left out", "no params"],
)
def test_a_yaml_of_something_else_is_refused(tmp_path: Path, text: str, what: str) -> None:
    (tmp_path / "model.yaml").write_text(text)
    with pytest.raises(AssetError, match=what) as caught:
        read_config(tmp_path / "last.ckpt", tmp_path / "model.yaml")
    assert (str(caught.value.__cause__) == "too large") is text.isspace()


@pytest.mark.parametrize("header", ["[]", "7", "null", '"text"'])
def test_a_header_that_is_no_object_is_refused(tmp_path: Path, header: str) -> None:
    save_file({}, tmp_path / "tokenizer.safetensors", metadata={"config": header})
    with pytest.raises(AssetError, match="is not a JSON object"):
        read_config(tmp_path / "tokenizer.safetensors", None)


def test_a_checkpoint_without_its_yaml_is_asked_for_it(tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").write_bytes(b"")
    with pytest.raises(AssetError, match=r"last\.ckpt does not say what it is made of"):
        read_config(tmp_path / "last.ckpt", None)


@pytest.mark.parametrize(
    "content",
    [[torch.zeros(1)], {"state_dict": [1]}, {"state_dict": {"a": 1}}, {"a": torch.zeros(1), "b": "c"}],
    ids=["a list", "a list of weights", "numbers", "other things among them"],
)
def test_a_checkpoint_without_a_state_dict_is_refused(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "last.ckpt")
    (tmp_path / "model.yaml").write_text(yaml.safe_dump({"model": {"target": "taming.VQModel", "params": TINY}}))
    tokenizer = VQGAN(VQGANOptions(weights=asset(tmp_path / "last.ckpt"), config=asset(tmp_path / "model.yaml")))
    with pytest.raises(AssetError, match="holds no state dict"):
        tokenizer.warm_up()
