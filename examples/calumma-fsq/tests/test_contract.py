"""What every image tokenizer keeps to, and that an id is FSQ's own index."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from calumma.contracts import ImageTokenizerContract
from calumma.errors import AssetError
from calumma.interfaces import Asset
from safetensors.torch import load_file, save_file

from calumma_fsq.config import FSQConfig
from calumma_fsq.model import Autoencoder
from calumma_fsq.options import FSQOptions
from calumma_fsq.tokenizer import FSQTokenizer
from calumma_fsq.weights import example, load_weights, save_weights


class TestFSQ(ImageTokenizerContract):
    component = "fsq/tokenizer"


def tokenizer(weights: Path) -> FSQTokenizer:
    return FSQTokenizer(FSQOptions(weights=Asset(str(weights), weights)))


def test_an_id_is_the_index_of_fsq(tmp_path: Path) -> None:
    path = Path(example(tmp_path)["weights"])
    made = tokenizer(path)
    images = torch.rand(1, 3, 16, 24, generator=torch.Generator().manual_seed(1))
    model = load_weights(path, made.config)
    with torch.no_grad():
        codes, index = model.quantizer(model.encoder(images * 2 - 1))
    ids = made.encode(images)
    assert torch.equal(ids, index.long())
    assert torch.equal(model.quantizer.indices_to_codes(ids), codes)
    assert made.codebook_size == 5 * 5 * 4
    assert len(set(ids.flatten().tolist())) > 3


@pytest.mark.parametrize("factor", [4, 8])
def test_the_header_says_what_it_is_before_a_tensor_is_read(tmp_path: Path, factor: int) -> None:
    config = FSQConfig.model_validate({"levels": (7, 5), "factor": factor, "resolution": 32, "width": 8})
    save_weights(tmp_path / "w.safetensors", Autoencoder(config), config)
    made = tokenizer(tmp_path / "w.safetensors")
    assert (made.codebook_size, made.resolution, made.grid(32, 64)) == (35, (32, 32), (32 // factor, 64 // factor))
    assert made.encode(torch.zeros(1, 3, 32, 32)).shape == (1, 32 // factor, 32 // factor)


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (None, "has no `config`"),
        ({"config": "{"}, "does not describe an FSQ tokenizer"),
        ({"config": json.dumps({"levels": [2, 5]})}, "does not describe an FSQ tokenizer"),
        ({"config": json.dumps({"levels": [64, 64, 64, 64]})}, "more than 1048576"),
        ({"config": json.dumps({"factor": 8, "resolution": 60})}, "no multiple of 8"),
    ],
)
def test_weights_that_do_not_say_what_they_are_are_refused(
    tmp_path: Path, header: dict[str, str] | None, said: str
) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "w.safetensors", header)
    with pytest.raises(AssetError, match=said):
        tokenizer(tmp_path / "w.safetensors")


def test_tensors_that_do_not_fit_their_header_are_refused(tmp_path: Path) -> None:
    path = Path(example(tmp_path)["weights"])
    state = load_file(path)
    state.pop("decoder.0.bias")
    save_file(state, path, {"config": FSQConfig.read(path).model_dump_json()})
    with pytest.raises(AssetError, match="does not hold the tensors"):
        tokenizer(path).warm_up()


def test_a_file_that_is_no_safetensors_is_refused(tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"no weights at all")
    with pytest.raises(AssetError, match="not a readable safetensors file"):
        tokenizer(tmp_path / "w.safetensors")
