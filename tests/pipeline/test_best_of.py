"""Best of n: of each group of samples the one that the embedder scores highest is kept, with its own number."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from calumma import Pipeline
from calumma.errors import ComponentError

from .test_extra_slots import Returns, with_extra
from .test_observers import assembled

PROMPT = "a red disc"


def scored(pipeline: Pipeline, images: list) -> list[float]:
    """The cosine of each picture's embedding and the prompt's, worked out here."""
    prompt = pipeline.embedder.embed_texts([PROMPT])[0]
    vectors = [pipeline.embedder.embed_images([np.asarray(image)])[0] for image in images]
    return [float(prompt @ one / np.linalg.norm(prompt) / np.linalg.norm(one)) for one in vectors]


def test_the_best_of_each_group_is_kept_as_the_sample_that_it_is(pipeline: Pipeline) -> None:
    all_of_them = pipeline.generate(PROMPT, n=6, seed=4)
    best = pipeline.generate(PROMPT, n=2, seed=4, best_of=3)
    scores = scored(pipeline, all_of_them.images)
    kept = [int(np.argmax(scores[:3])), 3 + int(np.argmax(scores[3:]))]
    assert best.samples == kept
    assert [image.tobytes() for image in best.images] == [all_of_them.images[i].tobytes() for i in kept]
    assert best.scores == pytest.approx([scores[i] for i in kept], abs=1e-5)
    assert [one["samples"] for one in best.record["best_of"]] == [[0, 1, 2], [3, 4, 5]]
    assert [one["kept"] for one in best.record["best_of"]] == kept
    assert [score for one in best.record["best_of"] for score in one["scores"]] == pytest.approx(scores, abs=1e-5)
    again = pipeline.generate(PROMPT, seed=4, first=best.samples[1])
    assert again.images[0].tobytes() == best.images[1].tobytes()


def test_groups_do_not_depend_on_batches(pipeline: Pipeline) -> None:
    whole = pipeline.generate(PROMPT, n=2, seed=4, best_of=3)
    (apart,) = pipeline.generate_many([PROMPT], n=2, seed=4, best_of=3, batch=2)
    (later,) = pipeline.generate_many([PROMPT], n=1, seed=4, best_of=3, first=1, batch=2)
    assert (apart.samples, apart.scores) == (whole.samples, whole.scores)
    assert (later.samples, later.scores) == (whole.samples[1:], whole.scores[1:])


def test_files_have_the_numbers_of_the_samples(pipeline: Pipeline, tmp_path: Path) -> None:
    best = pipeline.generate(PROMPT, n=2, seed=4, best_of=3)
    saved = best.save(tmp_path)
    assert [path.name for path in saved.images] == [f"a-red-disc-s4-{sample}.png" for sample in best.samples]


def test_each_prompt_is_judged_by_itself(pipeline: Pipeline) -> None:
    prompts = [PROMPT, "a blue cross"]
    together = pipeline.generate_many(prompts, seed=4, best_of=2, batch=3)
    for prompt, result in zip(prompts, together, strict=True):
        alone = pipeline.generate(prompt, seed=4, best_of=2)
        assert (result.samples, result.scores) == (alone.samples, alone.scores)


def test_only_what_is_kept_is_finished(pipeline: Pipeline) -> None:
    seen: list[object] = []

    def noted(image: object) -> object:
        seen.append(image)
        return image

    result = with_extra(pipeline, mark=Returns(noted)).generate(PROMPT, n=2, seed=4, best_of=2)
    assert len(seen) == len(result.images) == 2


def test_a_group_that_is_interrupted_is_not_kept(registry: Path) -> None:
    stream = assembled(registry).stream(PROMPT, n=2, seed=4, best_of=3, batch=4)
    for update in stream:
        if update.finished == 1:
            break
    kept = stream.so_far()
    assert len(kept.images) == 1
    assert kept.record["interrupted"] == {"finished": 1, "of": 2}
    assert [one["samples"] for one in kept.record["best_of"]] == [[0, 1, 2]]


def test_an_embedder_without_pictures_is_refused_before_anything_is_drawn(
    registry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = assembled(registry)

    def none(images: object) -> None:
        raise NotImplementedError("texts alone")

    monkeypatch.setattr(pipeline.embedder, "embed_images", none)
    monkeypatch.setattr(pipeline.sampler, "fill", none)
    with pytest.raises(ComponentError, match="cannot embed a picture: NotImplementedError: texts alone") as caught:
        pipeline.generate(PROMPT, best_of=2)
    assert "--best-of" in caught.value.fix
