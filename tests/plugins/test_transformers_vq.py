"""transformers/chameleon-vq and transformers/tokenizer: transformers' own codes, taming's own pixels, text alone as text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from calumma.errors import AssetError, InputError, MismatchError
from calumma_plugins.transformers.example import CODES, code_name

from .chameleons import image_tokenizer, published_names, save, save_pixels, text_tokenizer

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(6, 3, 16, 24, generator=torch.Generator().manual_seed(0))


# --- codes ---


def test_codes_are_those_of_transformers_encoder(tmp_path: Path, images: torch.Tensor) -> None:
    model = save(tmp_path)
    codes = image_tokenizer(tmp_path).encode(images)
    assert codes.shape == (6, 4, 6)
    assert codes.unique().numel() > 8
    with torch.no_grad():
        for image, own in zip(images, codes, strict=True):
            assert torch.equal(model.model.vqmodel.encode(image[None] * 2 - 1).image_tokens.view(4, 6), own)
            ids = model.get_image_tokens(image[None] * 2 - 1)[0]
            to_id = torch.tensor([model.config.vocabulary_map[code_name(code)] for code in range(CODES)])
            assert torch.equal(to_id[own.view(-1)], ids.long())


def test_the_published_sizes_are_1024_codes_of_512_pixels(tmp_path: Path) -> None:
    names = {"<s>": 0, "</s>": 2, "<racm3:break>": 8197, "<eoss>": 8196, "a": 9000}
    names |= {code_name(code): 4 + code for code in range(8192)}
    config = {"model_type": "chameleon", "vocab_size": 65536, "vocabulary_map": names, "num_key_value_heads": None}
    (tmp_path / "config.json").write_text(json.dumps(config))
    tokenizer = image_tokenizer(tmp_path)
    assert (tokenizer.codebook_size, tokenizer.resolution) == (8192, (512, 512))
    assert [tokenizer.grid(*size) for size in ((512, 512), (16, 32), (32, 16))] == [(32, 32), (1, 2), (2, 1)]
    with pytest.raises(InputError, match="500 x 512"):
        tokenizer.grid(512, 500)


def test_codes_do_not_depend_on_the_precision_of_the_pipeline(tmp_path: Path, images: torch.Tensor) -> None:
    save(tmp_path)
    exact, rough = image_tokenizer(tmp_path), image_tokenizer(tmp_path)
    rough.warm_up(dtype="bfloat16")
    assert torch.equal(exact.encode(images), rough.encode(images))


# --- pixels ---


def test_without_a_decoder_pixels_are_refused_and_the_missing_file_is_named(tmp_path: Path, images: torch.Tensor) -> None:
    save(tmp_path)
    tokenizer = image_tokenizer(tmp_path)
    codes = tokenizer.encode(images)
    with pytest.raises(AssetError, match="holds no weights of a pixel decoder") as caught:
        tokenizer.decode(codes)
    assert "`decoder_weights`" in caught.value.fix
    assert "vqgan.ckpt" in caught.value.fix


@pytest.mark.parametrize("kind", ["Meta's checkpoint", "safetensors"])
def test_pixels_are_those_of_tamings_decoder(tmp_path: Path, images: torch.Tensor, kind: str) -> None:
    model = save(tmp_path)
    pixels = save_pixels(tmp_path / "vqgan.ckpt", model)
    weights = tmp_path / "vqgan.ckpt"
    if kind == "safetensors":
        weights = tmp_path / "pixels.safetensors"
        save_file(pixels.state_dict(), weights)
    codes = image_tokenizer(tmp_path).encode(images)
    drawn = image_tokenizer(tmp_path, weights).decode(codes)
    with torch.no_grad():
        entries = model.model.vqmodel.quantize.embedding.weight[codes].permute(0, 3, 1, 2)
        wanted = ((pixels.decoder(model.model.vqmodel.post_quant_conv(entries)) + 1) / 2).clamp(0, 1)
    assert drawn.shape == images.shape
    assert float(wanted.std()) > 0.01
    assert torch.allclose(drawn, wanted, atol=2e-5)


def test_a_decoder_inside_the_folder_is_used(tmp_path: Path, images: torch.Tensor) -> None:
    """Some conversions of Anole keep it below the names of the encoder."""
    pixels = save_pixels(tmp_path / "vqgan.ckpt", save(tmp_path))
    codes = image_tokenizer(tmp_path).encode(images)
    beside = image_tokenizer(tmp_path, tmp_path / "vqgan.ckpt").decode(codes)
    before = image_tokenizer(tmp_path).folder.codes_digest
    inner = {f"model.vqmodel.decoder.{name}": value for name, value in pixels.decoder.state_dict().items()}
    save_file({**load_file(tmp_path / "model.safetensors"), **inner}, tmp_path / "model.safetensors")
    inside = image_tokenizer(tmp_path)
    assert torch.allclose(inside.decode(codes), beside, atol=2e-5)
    assert torch.equal(inside.encode(images), codes)
    assert inside.folder.codes_digest == before


def test_a_decoder_of_another_codebook_is_refused(tmp_path: Path) -> None:
    model = save(tmp_path / "one")
    save_pixels(tmp_path / "vqgan.ckpt", model)
    save(tmp_path / "other", seed=3)
    with pytest.raises(MismatchError, match="draws other codes than"):
        image_tokenizer(tmp_path / "other", tmp_path / "vqgan.ckpt").warm_up()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_folder_of_fewer_bits_still_fits_its_decoder(tmp_path: Path, dtype: torch.dtype) -> None:
    model = save(tmp_path)
    save_pixels(tmp_path / "vqgan.ckpt", model)
    model.to(dtype).save_pretrained(tmp_path)
    drawn = image_tokenizer(tmp_path, tmp_path / "vqgan.ckpt").decode(torch.zeros(1, 4, 4, dtype=torch.int64))
    assert drawn.dtype == torch.float32


def test_decoder_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    pixels = save_pixels(tmp_path / "vqgan.ckpt", save(tmp_path)).state_dict()
    wrong = {name: value for name, value in pixels.items() if name != "decoder.conv_in.bias"} | {"colour": torch.zeros(1)}
    torch.save({"state_dict": wrong}, tmp_path / "vqgan.ckpt")
    with pytest.raises(AssetError, match=r"1 missing \(decoder\.conv_in\.bias\), 1 unexpected \(colour\)"):
        image_tokenizer(tmp_path, tmp_path / "vqgan.ckpt").warm_up()
    pixels["decoder.conv_in.bias"][0] = float("nan")
    torch.save(pixels, tmp_path / "vqgan.ckpt")
    with pytest.raises(AssetError, match=r"not finite \(decoder\.conv_in\.bias\)"):
        image_tokenizer(tmp_path, tmp_path / "vqgan.ckpt").warm_up()


# --- text ---


def bpe(path: Path, names: dict[str, int], merges: list[Any], **changes: Any) -> None:
    content = json.loads(path.read_text())
    content["model"].update(vocab=names, merges=merges)
    path.write_text(json.dumps({**content, **changes}))


def test_ids_are_those_of_the_shared_vocabulary_and_codes_are_no_text(tmp_path: Path) -> None:
    from calumma_plugins.transformers.example import vocabulary

    save(tmp_path)
    names = published_names({**vocabulary(), "ab": 400, "abc": 401})
    # Merges of the published file reach the names of codes; a prompt must not.
    image = ["IM", "IMG", "IMGIMG", "IMGIMGA"]
    names |= {name: len(names) + i for i, name in enumerate(image)}
    merges = [["a", "b"], "ab c", "I M", "IM G", "IMG IMG", ["IMGIMG", "A"], ["IMGIMGA", "Z"]]
    bpe(tmp_path / "tokenizer.json", names, merges, post_processor=None)
    tokenizer = text_tokenizer(tmp_path)
    assert tokenizer.size == len(names)
    assert tokenizer.encode("abcab") == [names["abc"], names["ab"]]
    assert tokenizer.encode("IMGIMGAZ") == [names["IMGIMGA"], names["Z"]]
    code, structure = names["IMGIMGAZ"], names["<eoss>"]
    for text in ("IMGIMGAZ", "<eoss>", "<s>a</s>", "<racm3:break>"):
        ids = tokenizer.encode(text)
        assert tokenizer.decode(ids) == text
        assert not {code, structure, names["<s>"], names["<racm3:break>"]} & set(ids)
    assert tokenizer.decode([names["a"], code, structure, names["b"]]) == "ab"


def test_a_file_is_as_good_as_its_folder(tmp_path: Path) -> None:
    save(tmp_path)
    folder, file = text_tokenizer(tmp_path), text_tokenizer(tmp_path / "tokenizer.json")
    assert folder.fingerprint() == file.fingerprint()
    assert folder.encode("a red apple") == file.encode("a red apple") == list(b"a red apple")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"pre_tokenizer": {"type": "Metaspace", "replacement": "_", "prepend_scheme": "always"}}, "not byte-complete"),
        ({"model": {"type": "WordPiece", "vocab": {}}}, "not a readable tokenizer.json"),
        ({"model": None}, "not a readable tokenizer.json"),
    ],
    ids=["spaces that are not bytes", "no BPE", "no model"],
)
def test_another_kind_of_tokenizer_is_refused(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    save(tmp_path)
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(AssetError, match=says):
        text_tokenizer(tmp_path).warm_up()
