"""The contract of embedders passes ours, and catches each of these faults by the rule that is about it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from pydantic import ConfigDict, Field

from calumma.contracts import EmbedderContract
from calumma.contracts.samples.embedder import HashEmbedder, HashOptions
from calumma.documents import Document, Pixels, Text
from calumma.interfaces import Device, Dtype, Vectors, normalised

from .breaking import assert_caught, broken_rules


class TestHashEmbedder(EmbedderContract):
    component = HashEmbedder


class TestHashEmbedderOfFewDimensions(EmbedderContract):
    component = HashEmbedder
    options = {"dimension": 8}


class TestCLIP(EmbedderContract):
    component = "openclip/clip"


class TestStarterCLIP(EmbedderContract):
    component = "openclip/clip"
    options = {"weights": "starter:embedder.safetensors"}


def test_a_word_for_a_colour_lies_near_pictures_of_it() -> None:
    embedder = HashEmbedder(HashOptions())
    red = np.full((4, 4, 3), (220, 30, 30), np.uint8)
    scores = embedder.embed_texts(["a red apple", "a blue sky"]) @ embedder.embed_images([red])[0]
    assert scores[0] > scores[1] + 0.2


def test_the_last_bits_may_depend_on_the_batch() -> None:
    assert broken_rules(EmbedderContract, LastBits) == {}


class LastBits(HashEmbedder):
    """Correct: matrix products round a little otherwise in another batch."""

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        return normalised(super().embed_texts(texts) + np.float32(1e-7 * len(texts)))


class LearnsItsDimensionLate(HashEmbedder):
    def __init__(self, options: HashOptions) -> None:
        super().__init__(options)
        self.dimension = 8

    def warm_up(self, device: Device = "cpu", dtype: Dtype = "float32") -> None:
        self.dimension = self.options.dimension


class LeavesTextsLong(HashEmbedder):
    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        return super().embed_texts(texts) * np.float32(1.001)


class GivesDoubles(HashEmbedder):
    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        return super().embed_texts(texts).astype(np.float64)  # the fault: not float32


class GivesZerosForEmptyTexts(HashEmbedder):
    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        return super().embed_texts(texts) * np.array([[bool(text.strip())] for text in texts], np.float32).reshape(-1, 1)


class RefusesNulls(HashEmbedder):
    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        if any("\0" in text for text in texts):
            raise ValueError("embedded null character")
        return super().embed_texts(texts)


class DividesByContrast(HashEmbedder):
    """A plain picture has no contrast: its row is not a number."""

    def embed_images(self, images: Sequence[Pixels]) -> Vectors:
        spread = np.array([[image.std()] for image in images], np.float32).reshape(-1, 1)
        with np.errstate(all="ignore"):
            return normalised(super().embed_images(images) * spread / spread)


class NeedsEightPixels(HashEmbedder):
    def embed_images(self, images: Sequence[Pixels]) -> Vectors:
        if any(min(image.shape[:2]) < 8 for image in images):
            raise ValueError("kernel size is greater than the picture")
        return super().embed_images(images)


class NeedsOneSize(HashEmbedder):
    def embed_images(self, images: Sequence[Pixels]) -> Vectors:
        return super().embed_images(list(np.stack(images)) if len(images) else [])


class NeedsContiguousPixels(HashEmbedder):
    def embed_images(self, images: Sequence[Pixels]) -> Vectors:
        return super().embed_images([np.frombuffer(image.data, np.uint8).reshape(image.shape) for image in images])


class FailsOnNone(HashEmbedder):
    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        return np.stack([super(FailsOnNone, self).embed_texts([text])[0] for text in texts])


class ForgetsTheDimensionOfNone(HashEmbedder):
    def embed_images(self, images: Sequence[Pixels]) -> Vectors:
        return super().embed_images(images) if len(images) else np.zeros((0,), np.float32)


class ReadsNothing(HashEmbedder):
    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        return super().embed_texts(["always this"] * len(texts))


class SeesNothing(HashEmbedder):
    def embed_images(self, images: Sequence[Pixels]) -> Vectors:
        return super().embed_images([np.zeros_like(image) for image in images])


class SumsDocuments(HashEmbedder):
    """Leaves out the last step: the mean of two vectors is shorter than 1."""

    def embed_documents(self, documents: Sequence[Document]) -> Vectors:
        rows = super().embed_documents(documents)
        both = [[bool(one.text and one.image and one.image.pixels is not None)] for one in documents]
        return rows * np.where(np.array(both).reshape(-1, 1), np.float32(0.7), np.float32(1))


class WeighsTextsMore(HashEmbedder):
    def embed_documents(self, documents: Sequence[Document]) -> Vectors:
        texts = [replace(one, parts=(Text(one.text),)) if one.text else one for one in documents]
        return normalised(super().embed_documents(documents) + super().embed_documents(texts))


class TakesTheLastPicture(HashEmbedder):
    def embed_documents(self, documents: Sequence[Document]) -> Vectors:
        turned = [replace(one, parts=one.parts[::-1]) if len(one.parts) == 4 else one for one in documents]
        return super().embed_documents(turned)


class EmbedsTheEmptyText(HashEmbedder):
    """Takes "" of a picture without a text for a text: the vector moves towards that of nothing."""

    def embed_documents(self, documents: Sequence[Document]) -> Vectors:
        rows = super().embed_documents(documents)
        empty = np.array([[not one.text] for one in documents]).reshape(-1, 1)
        return normalised(rows + np.where(empty, self.embed_texts([""]), np.float32(0)))


class TakesEmptyDocuments(HashEmbedder):
    def embed_documents(self, documents: Sequence[Document]) -> Vectors:
        some = [one if one.text or one.image else Document((Text("nothing"),)) for one in documents]
        return super().embed_documents(some)


class RaisesItsOwnError(HashEmbedder):
    def embed_documents(self, documents: Sequence[Document]) -> Vectors:
        for one in documents:
            if not one.text and (one.image is None or one.image.pixels is None):
                raise ValueError("nothing to embed")
        return super().embed_documents(documents)


class MixesNeighbours(HashEmbedder):
    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        rows = super().embed_texts(texts)
        return normalised(rows + np.roll(rows, 1, 0) * np.float32(0.05))


class CentresTheBatch(HashEmbedder):
    def embed_images(self, images: Sequence[Pixels]) -> Vectors:
        rows = super().embed_images(images)
        return normalised(rows - 0.1 * rows.mean(0)) if len(rows) > 1 else rows


class SortsByLength(HashEmbedder):
    """Sorts for fewer paddings, and does not sort back."""

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        return super().embed_texts(sorted(texts, key=len))


class StartsBatchesAnew(HashEmbedder):
    """From the second batch of 32 on it begins with the first again."""

    def embed_images(self, images: Sequence[Pixels]) -> Vectors:
        return super().embed_images([images[i % 32] for i in range(len(images))])


class SwapsTextsAndPictures(HashEmbedder):
    """Rows of documents with a text come first."""

    def embed_documents(self, documents: Sequence[Document]) -> Vectors:
        return super().embed_documents(sorted(documents, key=lambda one: not one.text))


class PreparesInOnePlace(HashEmbedder):
    """One buffer for all that it prepares."""

    def prepare_image(self, pixels: Pixels) -> dict[str, Pixels]:
        self.buffer = getattr(self, "buffer", {})
        self.buffer["pixels"] = pixels
        return self.buffer

    def embed_prepared(self, images: Sequence[dict[str, Pixels]]) -> Vectors:
        return self.embed_images([one["pixels"] for one in images])


class PreparesTwice(HashEmbedder):
    """Prepares pictures that are prepared already."""

    def prepare_image(self, pixels: Pixels) -> Pixels:
        return 255 - pixels

    def embed_images(self, images: Sequence[Pixels]) -> Vectors:
        return super().embed_images([self.prepare_image(pixels) for pixels in images])


class ScalesInPlace(HashEmbedder):
    def embed_images(self, images: Sequence[Pixels]) -> Vectors:
        rows = super().embed_images(images)
        for image in images:
            image //= 2
        return rows


class SortsTheCallersList(HashEmbedder):
    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        rows = super().embed_texts(texts)
        if isinstance(texts, list):
            texts.sort()
        return rows


class RunsAMean(HashEmbedder):
    """Keeps a mean of what it has seen, as a batch normalisation does that was left in training."""

    def __init__(self, options: HashOptions) -> None:
        super().__init__(options)
        self.mean = np.zeros(options.dimension, np.float32)

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        rows = super().embed_texts(texts)
        self.mean = self.mean * np.float32(0.9) + rows.sum(0) * np.float32(0.001)
        return normalised(rows - self.mean)


class DrawsNoise(HashEmbedder):
    def embed_images(self, images: Sequence[Pixels]) -> Vectors:
        rows = super().embed_images(images)
        return normalised(rows + np.random.normal(0, 1e-6, rows.shape).astype(np.float32))


class TurnsAtWarmUp(HashEmbedder):
    turns = 0

    def warm_up(self, device: Device = "cpu", dtype: Dtype = "float32") -> None:
        self.turns += 1

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        return np.roll(super().embed_texts(texts), self.turns, 1)


class NumbersInstances(HashEmbedder):
    made = itertools.count()

    def __init__(self, options: HashOptions) -> None:
        super().__init__(options)
        self.turn = next(self.made)

    def embed_images(self, images: Sequence[Pixels]) -> Vectors:
        return np.roll(super().embed_images(images), self.turn, 1)


class HandsOutItsCache(HashEmbedder):
    def __init__(self, options: HashOptions) -> None:
        super().__init__(options)
        self.known: dict[tuple[str, ...], Vectors] = {}

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        return self.known.setdefault(tuple(texts), super().embed_texts(texts))


class AnswersInItsDtype(HashEmbedder):
    dtype: type[np.floating] = np.float32

    def warm_up(self, device: Device = "cpu", dtype: Dtype = "float32") -> None:
        self.dtype = np.float32 if dtype == "float32" else np.float16

    def embed_images(self, images: Sequence[Pixels]) -> Vectors:
        return super().embed_images(images).astype(self.dtype)  # the fault: another type


class AnyOptions(HashOptions):
    model_config = ConfigDict(extra="allow")


class TakesAnyOption(HashEmbedder):
    Options = AnyOptions


class LooseOptions(HashOptions):
    dimension: int = Field(64)


class DescribesNothing(HashEmbedder):
    Options = LooseOptions


BROKEN = [
    (PreparesInOnePlace, "test_prepared_pictures_have_the_same_vectors"),
    (PreparesTwice, "test_prepared_pictures_have_the_same_vectors"),
    (LearnsItsDimensionLate, "test_the_dimension_is_known_before_warm_up"),
    (LeavesTextsLong, "test_vectors_of_texts_have_length_1"),
    (GivesDoubles, "test_vectors_of_texts_have_length_1"),
    (GivesZerosForEmptyTexts, "test_vectors_of_texts_have_length_1"),
    (RefusesNulls, "test_vectors_of_texts_have_length_1"),
    (DividesByContrast, "test_vectors_of_pictures_have_length_1"),
    (NeedsEightPixels, "test_vectors_of_pictures_have_length_1"),
    (NeedsOneSize, "test_vectors_of_pictures_have_length_1"),
    (NeedsContiguousPixels, "test_vectors_of_pictures_have_length_1"),
    (SumsDocuments, "test_vectors_of_documents_have_length_1"),
    (FailsOnNone, "test_nothing_gives_no_rows"),
    (ForgetsTheDimensionOfNone, "test_nothing_gives_no_rows"),
    (ReadsNothing, "test_different_texts_lie_apart"),
    (SeesNothing, "test_different_pictures_lie_apart"),
    (WeighsTextsMore, "test_a_document_is_the_mean_of_its_text_and_first_picture"),
    (TakesTheLastPicture, "test_a_document_is_the_mean_of_its_text_and_first_picture"),
    (EmbedsTheEmptyText, "test_a_document_is_the_mean_of_its_text_and_first_picture"),
    (TakesEmptyDocuments, "test_a_document_of_nothing_is_refused"),
    (RaisesItsOwnError, "test_a_document_of_nothing_is_refused"),
    (MixesNeighbours, "test_a_texts_vector_depends_on_it_alone"),
    (SortsByLength, "test_a_texts_vector_depends_on_it_alone"),
    (CentresTheBatch, "test_a_pictures_vector_depends_on_it_alone"),
    (StartsBatchesAnew, "test_a_pictures_vector_depends_on_it_alone"),
    (SwapsTextsAndPictures, "test_a_documents_vector_depends_on_it_alone"),
    (ScalesInPlace, "test_inputs_stay_as_they_were"),
    (SortsTheCallersList, "test_inputs_stay_as_they_were"),
    (RunsAMean, "test_the_same_input_gives_the_same_answer"),
    (DrawsNoise, "test_two_with_the_same_options_agree"),
    (TurnsAtWarmUp, "test_warming_up_again_changes_nothing"),
    (NumbersInstances, "test_two_with_the_same_options_agree"),
    (HandsOutItsCache, "test_what_it_returns_is_the_callers"),
    (AnswersInItsDtype, "test_bfloat16_changes_no_type"),
    (TakesAnyOption, "test_unknown_options_are_refused"),
    (DescribesNothing, "test_options_are_described_and_bounded"),
]


@pytest.mark.parametrize(("component", "rule"), BROKEN, ids=lambda one: one if isinstance(one, str) else one.__name__)
def test_a_broken_embedder_is_caught(component: type[HashEmbedder], rule: str) -> None:
    assert_caught(EmbedderContract, component, rule)
