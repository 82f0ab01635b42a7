"""A Chameleon folder from a registry to pictures and captions, with every part of the pipeline there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import calumma
from calumma.errors import InputError

from .chameleons import save, save_pixels

pytestmark = pytest.mark.usefixtures("one_thread")
REGISTRY = """
calumma: 1
components:
  image_tokenizer:
    chameleon: {use: transformers/chameleon-vq, model: chameleon, decoder_weights: vqgan.ckpt}
  text_tokenizer:
    chameleon: {use: transformers/tokenizer, model: chameleon}
  decoder:
    chameleon: {use: transformers/chameleon, model: chameleon}
  embedder:
    clip: {use: openclip/clip, weights: clip.safetensors}
  retriever:
    none: {use: none/none}
  selection:
    top: {use: selection/top}
  sampler:
    nucleus: {use: sampling/nucleus, temperature: 1.0, top_p: 0.9, guidance: 3.0}
pipelines:
  default:
    {image_tokenizer: chameleon, text_tokenizer: chameleon, decoder: chameleon, embedder: clip, retriever: none,
     selection: top, sampler: nucleus}
"""


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    from calumma_plugins.openclip.example import write_clip

    save_pixels(tmp_path / "vqgan.ckpt", save(tmp_path / "chameleon"))
    write_clip(tmp_path / "clip.safetensors")
    (tmp_path / "registry.yaml").write_text(REGISTRY, encoding="utf-8")
    return tmp_path / "registry.yaml"


def load(registry: Path, **more: Any) -> calumma.Pipeline:
    return calumma.load(registry, device="cpu", **more)


def test_a_picture_is_drawn_and_described(registry: Path) -> None:
    with load(registry) as pipeline:
        result = pipeline.generate("a red apple", n=2, seed=3)
        assert [image.size for image in result.images] == [(16, 16)] * 2
        assert [codes.shape for codes in result.tokens] == [(4, 4)] * 2
        assert not np.array_equal(*result.tokens)
        assert result.documents[0].text == "a red apple"
        again = pipeline.generate("a red apple", n=1, seed=3)
        assert np.array_equal(again.tokens[0], result.tokens[0])
        assert again.images[0].tobytes() == result.images[0].tobytes()
        (text,) = pipeline.caption(result.images[0], seed=1).texts
        assert text
        record = result.record["components"]["decoder"]
        assert record["fingerprint"] == pipeline.decoder.fingerprint()
        assert sorted(record["assets"]) == ["model/config.json", "model/model.safetensors"]


@pytest.mark.parametrize("sampler", ["nucleus", "sampling/jacobi"])
def test_pictures_of_a_batch_are_those_drawn_alone(registry: Path, sampler: str) -> None:
    """Prompts of unequal length, two streams each, and two samples, in one batch."""
    prompts = ["a red apple", "b", "the night sky over a green field"]
    with load(registry, swap={"sampler": sampler}) as pipeline:
        together = pipeline.generate_many(prompts, n=2, seed=5)
        for prompt, result in zip(prompts, together, strict=True):
            assert np.array_equal(pipeline.generate(prompt, n=1, seed=5).tokens[0], result.tokens[0])


def test_the_prompt_matters(registry: Path) -> None:
    with load(registry, set={"sampler.temperature": 0}) as pipeline:
        one, other = (pipeline.generate(text, seed=0).tokens[0] for text in ("a red apple", "the night sky"))
    assert not np.array_equal(one, other)


def test_a_box_is_refused_before_anything_is_drawn(registry: Path) -> None:
    with load(registry) as pipeline, pytest.raises(InputError, match="cannot express the task 'infill'"):
        pipeline.infill(np.zeros((16, 16, 3), np.uint8), (0, 0, 8, 8), "a red apple")
