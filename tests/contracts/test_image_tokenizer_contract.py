"""The contract of image tokenizers passes ours, and catches each of these faults by the rule that is about it."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
import yaml
from pydantic import ConfigDict, Field

from calumma.contracts import ImageTokenizerContract
from calumma.contracts.samples.image_tokenizer import BlockOptions, BlockTokenizer
from calumma.errors import InputError
from calumma.interfaces import Device, Dtype

from .breaking import assert_caught, broken_rules


class TestBlockTokenizer(ImageTokenizerContract):
    component = BlockTokenizer


class TestBlocksOfAnotherSize(ImageTokenizerContract):
    component = BlockTokenizer
    options = {"cell": 3, "side": 7, "levels": 5}


class TestVQGAN(ImageTokenizerContract):
    component = "taming/vqgan"


class TestGumbelVQGAN(ImageTokenizerContract):
    """As CompVis publish them: a checkpoint of Lightning, with the training loss in it, and the YAML of the model."""

    component = "taming/vqgan"

    def small(self) -> dict[str, Any]:
        from calumma_plugins.taming.config import VQGANConfig
        from calumma_plugins.taming.example import TINY
        from calumma_plugins.taming.vqgan import VQModel

        folder = self.folder()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            state = VQModel(VQGANConfig.model_validate({**TINY, "quantizer": "gumbel"})).state_dict()
        torch.save({"epoch": 1, "state_dict": {**state, "loss.logvar": torch.zeros(1)}}, folder / "last.ckpt")
        model = {"target": "taming.models.vqgan.GumbelVQ", "params": {**TINY, "lossconfig": {"target": "a.Loss"}}}
        (folder / "model.yaml").write_text(yaml.safe_dump({"model": model}), encoding="utf-8")
        return {"weights": str(folder / "last.ckpt"), "config": str(folder / "model.yaml")}


class TestChameleonVQ(ImageTokenizerContract):
    component = "transformers/chameleon-vq"


class TestStarterVQGAN(ImageTokenizerContract):
    component = "taming/vqgan"
    options = {"weights": "starter:tokenizer.safetensors"}


def test_a_tokenizer_of_one_size_that_is_not_square_keeps_the_contract() -> None:
    assert broken_rules(ImageTokenizerContract, OneSize) == {}


class OneSize(BlockTokenizer):
    """Correct: it takes 8 x 16 and nothing else."""

    def __init__(self, options: BlockOptions) -> None:
        super().__init__(options)
        self.resolution = (8, 16)

    def grid(self, height: int, width: int) -> tuple[int, int]:
        if (height, width) != self.resolution:
            raise InputError("Only pictures of 16 x 8 pixels fit.", "Resize it.")
        return super().grid(height, width)


class LearnsItsSizeLate(BlockTokenizer):
    def __init__(self, options: BlockOptions) -> None:
        super().__init__(options)
        self.codebook_size = 2

    def warm_up(self, device: Device = "cpu", dtype: Dtype = "float32") -> None:
        super().warm_up(device, dtype)
        self.codebook_size = self.options.levels**3


class TransposesTheGrid(BlockTokenizer):
    def grid(self, height: int, width: int) -> tuple[int, int]:
        return super().grid(height, width)[::-1]

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        return super().encode(images.transpose(2, 3)).transpose(1, 2)


class TransposesTheIds(BlockTokenizer):
    def encode(self, images: torch.Tensor) -> torch.Tensor:
        return super().encode(images).transpose(1, 2).contiguous()


class RoundsTheGridDown(BlockTokenizer):
    def grid(self, height: int, width: int) -> tuple[int, int]:
        return super().grid(height - height % 4, width - width % 4)

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        h, w = self.grid(*images.shape[2:])
        return super().encode(images[:, :, : h * 4, : w * 4])


class TakesEmptySizes(BlockTokenizer):
    def grid(self, height: int, width: int) -> tuple[int, int]:
        return (0, 0) if not height * width else super().grid(height, width)


class CropsWhatDoesNotFit(BlockTokenizer):
    def encode(self, images: torch.Tensor) -> torch.Tensor:
        height, width = (max(side - side % 4, 4) for side in images.shape[2:])
        return super().encode(torch.nn.functional.pad(images, (0, 4, 0, 4))[:, :, :height, :width])


class GivesInt32(BlockTokenizer):
    def encode(self, images: torch.Tensor) -> torch.Tensor:
        return super().encode(images).int()


class OffByOneAtWhite(BlockTokenizer):
    """What is white gets the id codebook_size: the edge of rounding up instead of down."""

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        ids = super().encode(images)
        return ids + (ids == self.codebook_size - 1)


class ClampsNothing(BlockTokenizer):
    def decode(self, ids: torch.Tensor) -> torch.Tensor:
        return super().decode(ids) * 1.02 - 0.01


class ClampsToMinusOne(BlockTokenizer):
    def decode(self, ids: torch.Tensor) -> torch.Tensor:
        return super().decode(ids) * 2 - 1


class GivesHalves(BlockTokenizer):
    def decode(self, ids: torch.Tensor) -> torch.Tensor:
        return super().decode(ids).half()


class AnswersInItsDtype(BlockTokenizer):
    dtype = torch.float32

    def warm_up(self, device: Device = "cpu", dtype: Dtype = "float32") -> None:
        super().warm_up(device, dtype)
        self.dtype = getattr(torch, dtype)

    def decode(self, ids: torch.Tensor) -> torch.Tensor:
        return super().decode(ids).to(self.dtype)


class TakesNegativeIds(BlockTokenizer):
    def decode(self, ids: torch.Tensor) -> torch.Tensor:
        return super().decode(torch.where(ids < 0, ids % self.codebook_size, ids))


class TakesTheSizeAsAnId(BlockTokenizer):
    def decode(self, ids: torch.Tensor) -> torch.Tensor:
        return super().decode(torch.where(ids == self.codebook_size, 0, ids))


class LooksAtTheFirstIdOnly(BlockTokenizer):
    def decode(self, ids: torch.Tensor) -> torch.Tensor:
        super().decode(ids[:, :1, :1])
        return super().decode(ids.clamp(0, self.codebook_size - 1))


class RaisesIndexError(BlockTokenizer):
    def decode(self, ids: torch.Tensor) -> torch.Tensor:
        if ids.numel() and int(ids.max()) >= self.codebook_size:
            raise IndexError("an id is out of range of the table")
        return super().decode(ids)


class RefusesTheLastId(BlockTokenizer):
    def decode(self, ids: torch.Tensor) -> torch.Tensor:
        if ids.numel() and int(ids.max()) == self.codebook_size - 1:
            raise InputError("The last id is out of range.", "Give another.")
        return super().decode(ids)


class SeesNothing(BlockTokenizer):
    def encode(self, images: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(super().encode(images))


class DrawsGrey(BlockTokenizer):
    def decode(self, ids: torch.Tensor) -> torch.Tensor:
        return torch.full_like(super().decode(ids), 0.5)


class NormalisesOverTheBatch(BlockTokenizer):
    def encode(self, images: torch.Tensor) -> torch.Tensor:
        brightest = images.amax() if images.numel() else 1
        return super().encode(images / brightest)


class MixesNeighbours(BlockTokenizer):
    def decode(self, ids: torch.Tensor) -> torch.Tensor:
        images = super().decode(ids)
        return images * 0.9 + images.roll(1, 0) * 0.1


class SortsTheBatch(BlockTokenizer):
    def encode(self, images: torch.Tensor) -> torch.Tensor:
        return super().encode(images[images.mean((1, 2, 3)).argsort()])


class ReadsMemoryInOrder(BlockTokenizer):
    """Takes the storage as it lies: right for contiguous pictures alone."""

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        return super().encode(images.as_strided(images.shape, torch.empty(images.shape).stride()))


class FailsOnNone(BlockTokenizer):
    def encode(self, images: torch.Tensor) -> torch.Tensor:
        return torch.stack([super(FailsOnNone, self).encode(one[None])[0] for one in images])


class ForgetsTheShapeOfNone(BlockTokenizer):
    def decode(self, ids: torch.Tensor) -> torch.Tensor:
        return super().decode(ids) if len(ids) else torch.zeros(0, 3, 0, 0)


class ScalesInPlace(BlockTokenizer):
    def encode(self, images: torch.Tensor) -> torch.Tensor:
        ids = super().encode(images)
        images.mul_(2).sub_(1)
        return ids


class ClampsIdsInPlace(BlockTokenizer):
    def decode(self, ids: torch.Tensor) -> torch.Tensor:
        images = super().decode(ids)
        ids.clamp_(1, None)
        return images


class KeepsTheGraph(BlockTokenizer):
    def warm_up(self, device: Device = "cpu", dtype: Dtype = "float32") -> None:
        super().warm_up(device, dtype)
        self._table().requires_grad_(True)


class MovesWithEachCall(BlockTokenizer):
    calls = 0

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return (super().encode(images) + self.calls) % self.codebook_size


class DrawsNoise(BlockTokenizer):
    def decode(self, ids: torch.Tensor) -> torch.Tensor:
        images = super().decode(ids)
        return (images + torch.rand_like(images) * 1e-3).clamp(0, 1)


class RemapsAtWarmUp(BlockTokenizer):
    turns = 0

    def warm_up(self, device: Device = "cpu", dtype: Dtype = "float32") -> None:
        super().warm_up(device, dtype)
        self._codebook = self._table().roll(self.turns, 0)
        self.turns += 1


class NumbersInstances(BlockTokenizer):
    made = itertools.count()

    def __init__(self, options: BlockOptions) -> None:
        super().__init__(options)
        self.offset = next(self.made)

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        return (super().encode(images) + self.offset) % self.codebook_size


class HandsOutItsCache(BlockTokenizer):
    def __init__(self, options: BlockOptions) -> None:
        super().__init__(options)
        self.known: dict[bytes, torch.Tensor] = {}

    def decode(self, ids: torch.Tensor) -> torch.Tensor:
        key = ids.contiguous().numpy().tobytes()
        if key not in self.known:
            self.known[key] = super().decode(ids)
        return self.known[key]


class StaysOnTheProcessor(BlockTokenizer):
    def warm_up(self, device: Device = "cpu", dtype: Dtype = "float32") -> None:
        super().warm_up("cpu", dtype)


class AnyOptions(BlockOptions):
    model_config = ConfigDict(extra="allow")


class TakesAnyOption(BlockTokenizer):
    Options = AnyOptions


class LooseOptions(BlockOptions):
    cell: int = Field(4, description="Pixels per code, without bounds.")


class BoundsNothing(BlockTokenizer):
    Options = LooseOptions


BROKEN = [
    (LearnsItsSizeLate, "test_sizes_are_known_before_warm_up"),
    (TransposesTheGrid, "test_a_size_fits_or_is_refused"),
    (TransposesTheIds, "test_a_size_fits_or_is_refused"),
    (RoundsTheGridDown, "test_a_size_fits_or_is_refused"),
    (TakesEmptySizes, "test_encoding_refuses_what_does_not_fit"),
    (CropsWhatDoesNotFit, "test_encoding_refuses_what_does_not_fit"),
    (GivesInt32, "test_encoding_gives_ids_of_the_codebook"),
    (OffByOneAtWhite, "test_encoding_gives_ids_of_the_codebook"),
    (ClampsNothing, "test_pictures_are_clamped"),
    (ClampsToMinusOne, "test_pictures_are_clamped"),
    (GivesHalves, "test_pictures_are_clamped"),
    (RefusesTheLastId, "test_pictures_are_clamped"),
    (AnswersInItsDtype, "test_bfloat16_changes_no_type"),
    (TakesNegativeIds, "test_ids_out_of_range_are_refused"),
    (TakesTheSizeAsAnId, "test_ids_out_of_range_are_refused"),
    (LooksAtTheFirstIdOnly, "test_ids_out_of_range_are_refused"),
    (RaisesIndexError, "test_ids_out_of_range_are_refused"),
    (SeesNothing, "test_different_pictures_get_different_ids"),
    (DrawsGrey, "test_different_ids_give_different_pictures"),
    (NormalisesOverTheBatch, "test_a_pictures_ids_depend_on_it_alone"),
    (SortsTheBatch, "test_a_pictures_ids_depend_on_it_alone"),
    (MixesNeighbours, "test_an_ids_picture_depends_on_them_alone"),
    (ReadsMemoryInOrder, "test_memory_layout_changes_nothing"),
    (FailsOnNone, "test_no_pictures_have_no_ids"),
    (ForgetsTheShapeOfNone, "test_no_pictures_have_no_ids"),
    (ScalesInPlace, "test_inputs_stay_as_they_were"),
    (ClampsIdsInPlace, "test_inputs_stay_as_they_were"),
    (KeepsTheGraph, "test_results_carry_no_gradient"),
    (MovesWithEachCall, "test_the_same_input_gives_the_same_answer"),
    (DrawsNoise, "test_the_same_input_gives_the_same_answer"),
    (RemapsAtWarmUp, "test_warming_up_again_changes_nothing"),
    (NumbersInstances, "test_two_with_the_same_options_agree"),
    (HandsOutItsCache, "test_what_it_returns_is_the_callers"),
    (StaysOnTheProcessor, "test_warming_up_obeys_the_device"),
    (TakesAnyOption, "test_unknown_options_are_refused"),
    (BoundsNothing, "test_options_are_described_and_bounded"),
]


@pytest.mark.parametrize(("component", "rule"), BROKEN, ids=lambda one: one if isinstance(one, str) else one.__name__)
def test_a_broken_tokenizer_is_caught(component: type[BlockTokenizer], rule: str) -> None:
    assert_caught(ImageTokenizerContract, component, rule)
