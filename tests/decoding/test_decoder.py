from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from calumma.documents import CM3LeonLayout
from calumma.errors import AssetError, MismatchError
from calumma.interfaces import Asset, Packed
from calumma_plugins.cm3leon.config import ModelConfig
from calumma_plugins.cm3leon.decoder import CM3LeonDecoder
from calumma_plugins.cm3leon.options import CM3LeonDecoderOptions
from calumma_plugins.cm3leon.weights import read_config, save_weights

SIZES = {"layers": 2, "width": 32, "heads": 4, "context": 96, "text_size": 256, "codebook_size": 12}
PROMPTS = [np.random.default_rng(i).integers(0, 268, n) for i, n in enumerate([5, 17, 1, 9])]


class Text:
    size = 256

    def __init__(self, name: str = "text/a#1") -> None:
        self.name = name

    def fingerprint(self) -> str:
        return self.name

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def decode(self, ids: list[int]) -> str:
        return bytes(ids).decode()


class Picture(Text):
    codebook_size = 12
    resolution = (16, 16)

    def grid(self, height: int, width: int) -> tuple[int, int]:
        return height // 4, width // 4


@pytest.fixture(scope="module")
def decoder() -> CM3LeonDecoder:
    decoder = CM3LeonDecoder(CM3LeonDecoderOptions(**SIZES))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in decoder.model.parameters():
            weight.normal_(std=0.2, generator=generator)
    return decoder


def alone(decoder: CM3LeonDecoder, ids: np.ndarray) -> torch.Tensor:
    """Logits [L, V] of a row by itself, in float64, without a cache."""
    model = decoder.model.double()
    with torch.no_grad():
        answer = model.head(model.hidden(torch.from_numpy(ids)[None])).double()[0]
    decoder.model.float()
    return answer


def close(got: torch.Tensor, wanted: torch.Tensor) -> bool:
    return bool((got.double() - wanted).abs().max() <= 2e-5 * wanted.abs().max())


def test_prompts_of_unequal_length_are_as_each_alone(decoder: CM3LeonDecoder) -> None:
    state = decoder.start(PROMPTS, 40)
    assert state.lengths.tolist() == [5, 17, 1, 9]
    assert state.logits.dtype == torch.float32
    for row, prompt in enumerate(PROMPTS):
        assert close(state.logits[row], alone(decoder, prompt)[-1])


def test_ids_appended_one_by_one_or_together_are_a_full_forward(decoder: CM3LeonDecoder) -> None:
    fresh = np.random.default_rng(9).integers(0, 268, (4, 12))
    wanted = [alone(decoder, np.concatenate([prompt, new])) for prompt, new in zip(PROMPTS, fresh, strict=True)]
    for step in (1, 4, 12):
        state = decoder.start(PROMPTS, 40)
        for at in range(0, 12, step):
            ids = torch.from_numpy(fresh[:, at : at + step])
            logits = decoder.append(state, ids, torch.full((4,), step))
            for row, prompt in enumerate(PROMPTS):
                assert close(logits[row], wanted[row][len(prompt) + at : len(prompt) + at + step])
                assert torch.equal(state.logits[row], logits[row, -1])


def test_training_sees_what_decoding_sees(decoder: CM3LeonDecoder) -> None:
    ids = torch.from_numpy(np.concatenate([PROMPTS[0], PROMPTS[3]]))[None]
    positions = torch.cat([torch.arange(5), torch.arange(9)])[None]
    sample = torch.tensor([[0] * 5 + [1] * 9])
    logits = decoder.train_forward(Packed(ids, positions, sample))
    assert logits.requires_grad
    assert close(logits[0, :5].detach(), alone(decoder, PROMPTS[0]))
    assert close(logits[0, 5:].detach(), alone(decoder, PROMPTS[3]))


def test_bfloat16_is_near_float32(decoder: CM3LeonDecoder) -> None:
    wanted = decoder.start(PROMPTS, 40).logits
    decoder.warm_up(dtype="bfloat16")
    got = decoder.start(PROMPTS, 40).logits
    decoder.warm_up(dtype="float32")
    assert got.dtype == torch.float32
    assert (got - wanted).abs().max() < 0.1 * wanted.abs().max()


@pytest.fixture
def weights(tmp_path: Path, decoder: CM3LeonDecoder) -> Path:
    path = tmp_path / "decoder.safetensors"
    config = ModelConfig(**SIZES)
    save_weights(path, decoder.model, config, {"text_tokenizer": "text/a#1", "image_tokenizer": "image/a#1"})
    return path


def loaded(path: Path) -> CM3LeonDecoder:
    return CM3LeonDecoder(CM3LeonDecoderOptions(weights=Asset(path.name, path)))


def test_saved_weights_come_back(weights: Path, decoder: CM3LeonDecoder) -> None:
    other = loaded(weights)
    assert other.context == 96
    assert other._model is None  # known before weights load
    other.warm_up()
    fresh = decoder.start(PROMPTS, 20).logits
    assert torch.allclose(other.start(PROMPTS, 20).logits, fresh, atol=1e-5)
    assert list(weights.parent.iterdir()) == [weights]


def test_its_layout_is_over_the_tokenizers_it_was_trained_with(weights: Path) -> None:
    layout = loaded(weights).layout(Text(), Picture("image/a#1"))
    assert isinstance(layout, CM3LeonLayout)
    assert (layout.grid, layout.context, layout.image_tokenizer) == ((4, 4), 96, "image/a#1")


@pytest.mark.parametrize(("text", "picture"), [("text/b#2", "image/a#1"), ("text/a#1", "image/b#2")])
def test_other_tokenizers_are_refused_by_both_names(weights: Path, text: str, picture: str) -> None:
    with pytest.raises(MismatchError, match="b#2") as caught:
        loaded(weights).layout(Text(text), Picture(picture))
    assert "a#1" in caught.value.message
    assert "train" in caught.value.fix


def test_tokenizers_of_other_sizes_are_refused() -> None:
    decoder = CM3LeonDecoder(CM3LeonDecoderOptions(**{**SIZES, "codebook_size": 13}))
    with pytest.raises(MismatchError, match="12 codes, but the decoder has 13"):
        decoder.layout(Text(), Picture())


def test_files_that_are_no_weights_are_refused(tmp_path: Path, weights: Path) -> None:
    (tmp_path / "junk").write_bytes(b"\xff" * 100)
    (tmp_path / "cut").write_bytes(weights.read_bytes()[:-100])
    for name in ("junk", "missing"):
        with pytest.raises(AssetError):
            read_config(tmp_path / name)
    with pytest.raises(AssetError):
        loaded(tmp_path / "cut").warm_up()


def test_weights_of_another_shape_are_refused(tmp_path: Path, decoder: CM3LeonDecoder) -> None:
    save_weights(tmp_path / "odd", decoder.model, ModelConfig(**{**SIZES, "layers": 3}), {})
    with pytest.raises(AssetError, match="header"):
        loaded(tmp_path / "odd").warm_up()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"size": "350m", "layers": 2},
        {"layers": 2},
        {"layers": 1, "width": 5, "heads": 2},
        {"weights": "a", "context": 9},
    ],
)
def test_options_that_say_two_things_or_half_are_refused(options: dict) -> None:
    with pytest.raises(ValidationError):
        CM3LeonDecoderOptions(**options)


def test_a_seed_gives_the_same_random_weights() -> None:
    one, same, other = (CM3LeonDecoder(CM3LeonDecoderOptions(**SIZES, seed=seed)) for seed in (3, 3, 4))
    assert torch.equal(one.model.embed.weight, same.model.embed.weight)
    assert not torch.equal(one.model.embed.weight, other.model.embed.weight)
    assert one.fingerprint() == same.fingerprint() != other.fingerprint()
