"""openclip/clip gives what open_clip gives, from a tag, a local file, or a file that says its own architecture."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from safetensors.torch import load_file, save_file

from calumma.errors import AssetError, ComponentError
from calumma_plugins.openclip.clip import CLIP
from calumma_plugins.openclip.config import read_config
from calumma_plugins.openclip.example import TINY as CONFIG
from calumma_plugins.openclip.options import CLIPOptions

from .conftest import asset

TEXTS = ["a red apple", "", "a very long text " * 40, "Ünïcode 🍎", "two"]


def build(path: Path, **options: object) -> CLIP:
    return CLIP(CLIPOptions(weights=asset(path), **options))


@pytest.fixture(scope="module")
def direct(clip_file: Path) -> tuple[torch.nn.Module, object, object]:
    model, _, transform = open_clip.create_model_and_transforms(
        "tests-tiny-clip",
        pretrained=str(clip_file),
        image_mean=CONFIG["preprocess_cfg"]["mean"],
        image_std=CONFIG["preprocess_cfg"]["std"],
        image_interpolation="bilinear",
        image_resize_mode="squash",
    )
    return model.eval(), open_clip.get_tokenizer("tests-tiny-clip"), transform


def test_a_name_may_be_written_as_openai_wrote_it() -> None:
    slash, dash = (read_config(CLIPOptions(model=name, pretrained="openai")) for name in ("ViT-B/32", "ViT-B-32"))
    assert slash.model == dash.model
    assert slash.dimension == 512


def test_vectors_are_open_clips_own(clip_file: Path, direct, pictures: list[np.ndarray]) -> None:
    model, tokenizer, transform = direct
    with torch.no_grad():
        texts = torch.nn.functional.normalize(model.encode_text(tokenizer(TEXTS)), dim=-1).numpy()
        batch = torch.stack([transform(Image.fromarray(one)) for one in pictures])
        images = torch.nn.functional.normalize(model.encode_image(batch), dim=-1).numpy()
    embedder = build(clip_file, batch_size=2)
    np.testing.assert_allclose(embedder.embed_texts(TEXTS), texts, atol=1e-6)
    np.testing.assert_allclose(embedder.embed_images(pictures), images, atol=1e-6)
    assert np.abs(images[0] - images[1]).max() > 1e-3


def test_weights_stored_in_half_are_computed_in_single(clip_file: Path) -> None:
    embedder = build(clip_file)
    vectors = embedder.embed_texts(["one"])
    assert vectors.dtype == np.float32
    assert {p.dtype for p in embedder._model.parameters()} == {torch.float32}


def test_the_batch_size_changes_neither_vectors_nor_fingerprint(clip_file: Path, pictures: list[np.ndarray]) -> None:
    one, many = build(clip_file, batch_size=1), build(clip_file, batch_size=64)
    np.testing.assert_allclose(one.embed_images(pictures), many.embed_images(pictures), atol=1e-6)
    assert one.fingerprint() == many.fingerprint()


def test_a_checkpoint_of_a_named_model_loads_from_a_local_file(tmp_path: Path, clip_file: Path) -> None:
    state = load_file(clip_file)
    torch.save({"state_dict": state}, tmp_path / "clip.pt")
    with pytest.raises(ComponentError, match="does not say its architecture"):
        build(tmp_path / "clip.pt")
    with pytest.raises(AssetError, match=r"does not fit ViT-B-32 \("):
        build(tmp_path / "clip.pt", model="ViT-B-32").warm_up()


def test_the_dimension_is_known_without_torch() -> None:
    code = (
        "import sys; from calumma_plugins.openclip.options import CLIPOptions;"
        "from calumma_plugins.openclip.config import read_config;"
        "print(read_config(CLIPOptions(model='ViT-L-14', pretrained='openai')).dimension, 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "768 False\n"


def test_an_unknown_model_names_the_nearest() -> None:
    with pytest.raises(ComponentError, match="no model 'ViT-B32'") as caught:
        CLIP(CLIPOptions(model="ViT-B32", pretrained="openai"))
    assert "ViT-B-32" in caught.value.fix


def test_an_unknown_tag_names_those_that_exist() -> None:
    with pytest.raises(ComponentError, match="no weights 'lion'") as caught:
        CLIP(CLIPOptions(model="ViT-B-32", pretrained="lion")).warm_up()
    assert "laion2b_s34b_b79k" in caught.value.fix


def test_weights_that_cannot_be_fetched_point_to_a_local_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(open_clip.factory, "download_pretrained", offline)
    with pytest.raises(AssetError, match="cannot be fetched") as caught:
        CLIP(CLIPOptions(model="ViT-B-32", pretrained="laion2b_s34b_b79k")).warm_up()
    assert "`weights`" in caught.value.fix


@pytest.mark.parametrize(
    "options", [{}, {"model": "ViT-B-32"}, {"pretrained": "openai"}, {"pretrained": "openai", "weights": "x.pt"}]
)
def test_one_source_of_weights_is_asked_for(options: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        CLIPOptions(**options)


def test_a_file_that_says_its_architecture_needs_no_model(clip_file: Path) -> None:
    with pytest.raises(ComponentError, match="says its own architecture"):
        build(clip_file, model="ViT-B-32")


@pytest.mark.parametrize("config", ["[]", "{}", '{"model_cfg": {"embed_dim": 4}}', "no json"])
def test_a_header_that_is_not_open_clips_is_refused(tmp_path: Path, config: str) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "w.safetensors", {"config": config})
    with pytest.raises(AssetError, match="in the header of"):
        build(tmp_path / "w.safetensors")


def test_the_fingerprint_covers_tag_activation_resolution_and_normalisation(monkeypatch: pytest.MonkeyPatch) -> None:
    def named(model: str = "ViT-B-32", pretrained: str = "laion2b_s34b_b79k") -> str:
        return CLIP(CLIPOptions(model=model, pretrained=pretrained)).fingerprint()

    known = named()
    assert named() == known
    others = [named(pretrained="openai"), named("ViT-B-32-quickgelu", "openai"), named("ViT-B-16")]
    assert len({known, *others}) == 4
    published = open_clip.get_pretrained_cfg("ViT-B-32", "laion2b_s34b_b79k")
    for change in ({"mean": (0.5, 0.5, 0.5)}, {"quick_gelu": True}, {"interpolation": "bilinear"}):
        with monkeypatch.context() as patch:
            patch.setattr(open_clip, "get_pretrained_cfg", lambda *_, change=change: {**published, **change})
            assert named() != known
    with monkeypatch.context() as patch:
        patch.setattr(
            open_clip, "get_pretrained_cfg", lambda *_: {**published, "hf_hub": "elsewhere/", "url": "https://example.org"}
        )
        assert named() == known


def test_the_header_of_a_file_is_part_of_its_fingerprint(clip_file: Path, tmp_path: Path) -> None:
    import json

    from safetensors import safe_open

    with safe_open(clip_file, "pt") as file:
        config = json.loads(file.metadata()["config"])
    prints = {build(clip_file).fingerprint()}
    for i, change in enumerate(({"mean": [0.3, 0.4, 0.5]}, {"interpolation": "bicubic"}, {"size": 24})):
        changed = {**config, "preprocess_cfg": {**config["preprocess_cfg"], **change}}
        save_file(load_file(clip_file), tmp_path / f"{i}.safetensors", {"config": json.dumps(changed)})
        prints.add(build(tmp_path / f"{i}.safetensors").fingerprint())
    assert len(prints) == 4
