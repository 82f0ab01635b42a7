"""The transformers plugin: what a folder may claim, what it may lack, and that nothing in it is run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from calumma.errors import AssetError
from calumma_plugins.transformers.example import write_chameleon

from .chameleons import decoder, image_tokenizer, save

pytestmark = pytest.mark.usefixtures("one_thread")
WEIGHTS = "model.safetensors"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_chameleon(tmp_path / "chameleon")
    return tmp_path / "chameleon"


def change(folder: Path, **values: Any) -> None:
    """Changes config.json; a name with two underscores is of `vq_config`."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    for name, value in values.items():
        part = config["vq_config"] if name.startswith("vq__") else config
        part[name.removeprefix("vq__")] = value
    path.write_text(json.dumps(config))


def reweigh(folder: Path, changes: dict[str, torch.Tensor | None]) -> None:
    """Changes tensors; None takes one out."""
    tensors = {**load_file(folder / WEIGHTS), **changes}
    save_file({name: value for name, value in tensors.items() if value is not None}, folder / WEIGHTS)


def refused(folder: Path, says: str, warm: Any = decoder) -> AssetError:
    with pytest.raises(AssetError, match=says) as caught:
        warm(folder).warm_up()
    assert caught.value.fix
    return caught.value


def test_missing_and_surplus_tensors_are_both_listed(folder: Path) -> None:
    reweigh(
        folder,
        {"model.norm.weight": None, "model.extra.weight": torch.zeros(2), "lm_head.weight": torch.zeros(3, 32)},
    )
    told = refused(folder, "do not fit its config.json").message
    for part in ("1 missing (model.norm.weight)", "1 unexpected (model.extra.weight)", "1 of another shape (lm_head.weight)"):
        assert part in told
    image_tokenizer(folder).warm_up()  # its own tensors are all there


def test_the_image_tokenizer_lists_what_it_lacks_too(folder: Path) -> None:
    conv = "model.vqmodel.encoder.conv_in.bias"
    reweigh(folder, {conv: None, "model.vqmodel.colour": torch.zeros(2)})
    told = refused(folder, "do not fit", image_tokenizer).message
    assert f"1 missing ({conv}), 1 unexpected (model.vqmodel.colour)" in told
    decoder(folder).warm_up()


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_that_are_no_numbers_are_refused(folder: Path, value: float, dtype: torch.dtype) -> None:
    head = torch.zeros(328, 32, dtype=dtype)
    head[3, 3] = value
    reweigh(folder, {"lm_head.weight": head})
    refused(folder, r"holds 1 tensors with values that are not finite \(lm_head\.weight\)")
    codebook = torch.full((64, 8), value, dtype=dtype)
    reweigh(folder, {"model.vqmodel.quantize.embedding.weight": codebook})
    refused(folder, r"not finite \(model\.vqmodel\.quantize\.embedding\.weight\)", image_tokenizer)


def test_pickles_are_not_opened(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "pytorch_model.bin")
    error = refused(folder, r"holds its weights as pickles \(pytorch_model\.bin\), which could run code")
    assert "save_pretrained" in error.fix


class Harmful:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("harm-was-done",)


def test_a_decoder_checkpoint_that_would_run_code_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    torch.save({"state_dict": {}, "extra": Harmful()}, folder / "vqgan.ckpt")
    with pytest.raises(AssetError, match="could run code, so it was not opened"):
        image_tokenizer(folder, folder / "vqgan.ckpt").warm_up()
    assert not (folder / "harm-was-done").exists()


def test_code_that_a_folder_brings_is_never_looked_for(folder: Path) -> None:
    change(folder, auto_map={"AutoModelForCausalLM": "modeling.Chameleon"}, quantization_config={"quant_method": "awq"})
    (folder / "modeling.py").write_text("raise SystemExit('run')\n")
    decoder(folder).warm_up()


def test_a_folder_without_weights_says_what_it_lacks(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    refused(folder, r"neither model\.safetensors nor model\.safetensors\.index\.json")


def test_a_folder_that_was_fetched_in_part_says_so(tmp_path: Path) -> None:
    save(tmp_path, shards="60KB")
    shard = sorted(tmp_path.glob("*.safetensors"))[1]
    shard.unlink()
    refused(tmp_path, rf"lacks 1 of its \d+ files of weights \({shard.name}\)")


@pytest.mark.parametrize(
    "index",
    [
        {"weight_map": {"lm_head.weight": "../elsewhere.safetensors"}},
        {"weight_map": {"lm_head.weight": "/etc/passwd"}},
        {"weight_map": {"lm_head.weight": "pytorch_model.bin"}},
        {"weight_map": {"lm_head.weight": 7}},
        {"weight_map": {}},
        {"weight_map": []},
        {},
        [],
    ],
    ids=str,
)
def test_an_index_that_leads_elsewhere_is_refused(folder: Path, index: Any) -> None:
    (folder / WEIGHTS).rename(folder / "elsewhere.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    refused(folder, "does not say which files hold the weights")


@pytest.mark.parametrize("content", [b"", b"\x00" * 64, b"{}"], ids=["empty", "zeros", "no weights"])
def test_damaged_weights_are_refused_with_a_sentence(folder: Path, content: bytes) -> None:
    (folder / WEIGHTS).write_bytes(content)
    for build in (decoder, image_tokenizer):
        refused(folder, "not a readable safetensors file", build)
        with pytest.raises(AssetError, match="not a readable safetensors file"):
            _ = image_tokenizer(folder).fingerprint()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"model_type": "llama"}, "model_type"),
        ({"hidden_size": 33}, "heads do not divide"),
        ({"num_attention_heads": 32}, "heads do not divide"),
        ({"num_key_value_heads": 3}, "key heads do not divide"),
        ({"num_hidden_layers": 0}, "num_hidden_layers"),
        ({"num_hidden_layers": 513}, "num_hidden_layers"),
        ({"hidden_size": 2**20}, "hidden_size"),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}, "rope_type"),
        ({"rope_parameters": {"rope_type": "default", "rope_theta": 0}}, "rope_theta"),
        ({"rope_parameters": {"rope_type": "linear", "factor": 0}}, "factor"),
        ({"rope_parameters": [1]}, "rope_parameters"),
        ({"vq__base_channels": 48}, "no multiple of 32"),
        ({"vq__resolution": 18}, "no multiple of 4"),
        ({"vq__double_latent": True}, "double_latent"),
        ({"vq__num_embeddings": 65}, "has 64 codes, the image tokenizer 65"),
        ({"vocabulary_map": None}, "vocabulary_map"),
        ({"vocabulary_map": {}}, "ids outside of"),
        ({"vocabulary_map": {"<s>": 0, "<eoss>": 0}}, "one id to two names"),
        ({"vocabulary_map": {"<s>": 328}}, "ids outside of"),
        ({"vocabulary_map": {"<s>": 0, "a": 1}}, "lacks </s>, <racm3:break>, <eoss>"),
        ({"vocabulary_map": {"<s>": 0, "</s>": 1, "<racm3:break>": 2, "<eoss>": 3, "IMGIMGBZ": 4, "a": 5}}, "without a gap"),
        ({"vocabulary_map": {"<s>": 0, "</s>": 1, "<racm3:break>": 2, "<eoss>": 3, "IMGIMGAZ": 4}}, "has no text"),
        ({"vocabulary_map": {"<s>": 0, "</s>": 1, "<racm3:break>": 2, "<eoss>": 3, "a": 4}}, "without a gap"),
    ],
    ids=str,
)
def test_a_config_that_is_no_chameleons_is_refused_before_any_weights(folder: Path, changes: dict[str, Any], says: str) -> None:
    change(folder, **changes)
    (folder / WEIGHTS).write_bytes(b"")
    with pytest.raises(AssetError, match=says):
        _ = decoder(folder).context
    with pytest.raises(AssetError, match=says):
        image_tokenizer(folder)


@pytest.mark.parametrize("text", ["", "[]", "7", "[" * 100_000, "\udcff"], ids=["empty", "a list", "7", "deep", "no text"])
def test_a_config_that_is_no_json_object_is_refused(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text, errors="surrogateescape")
    with pytest.raises(AssetError, match=r"config\.json"):
        _ = decoder(folder).context


def test_a_path_that_is_no_folder_is_refused(folder: Path) -> None:
    with pytest.raises(AssetError, match="is no folder"):
        _ = decoder(folder / "config.json").context
    (folder / "config.json").unlink()
    with pytest.raises(AssetError, match=r"Cannot read .*config\.json"):
        _ = decoder(folder).context


def test_a_config_of_before_version_5_is_read_too(folder: Path) -> None:
    """It had `rope_theta` beside a `rope_scaling`, and null for as many key heads as heads."""
    before = decoder(folder).start([np.arange(9)], 16).logits
    change(folder, rope_parameters=None, rope_theta=10_000.0, rope_scaling=None, attn_type=None)
    assert torch.equal(decoder(folder).start([np.arange(9)], 16).logits, before)
    change(folder, rope_theta=500.0)
    assert not torch.equal(decoder(folder).start([np.arange(9)], 16).logits, before)
    for name in ("rope_type", "type"):
        change(folder, rope_scaling={name: "linear", "factor": 2.0})
        told = decoder(folder).folder.config.arguments()["rope_parameters"]
        assert told == {"rope_type": "linear", "rope_theta": 500.0, "factor": 2.0}
    change(folder, num_key_value_heads=None)
    assert decoder(folder).folder.config.num_key_value_heads == 4


def test_building_it_imports_no_transformers() -> None:
    code = (
        "import sys, calumma_plugins.transformers.decoder, calumma_plugins.transformers.vq\n"
        "print([name for name in ('transformers', 'taming') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
