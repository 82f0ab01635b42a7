"""What a pipeline draws, and what it draws it from."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from calumma import Pipeline
from calumma.errors import AssetError, ComponentError, InputError, MismatchError, RegistryError

from .tiny import CELL, CODES, SIDE

Load = Callable[..., Pipeline]
PROMPT = "a red disc"


def same(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return len(one) == len(other) and all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_it_draws_what_was_asked_for(pipeline: Pipeline) -> None:
    result = pipeline.generate(PROMPT, n=3, seed=1)
    assert [image.size for image in result.images] == [(SIDE, SIDE)] * 3
    assert all(ids.shape == (SIDE // CELL, SIDE // CELL) for ids in result.tokens)
    assert all(ids.min() >= 0 and ids.max() < CODES for ids in result.tokens)
    assert (result.task, result.prompt, result.seed, result.texts) == ("generate", PROMPT, 1, [])
    assert len(result.documents) == 3
    assert len(result.retrieved) == 2


def test_the_same_request_gives_the_same_pixels_in_a_new_pipeline(pipeline: Pipeline, load: Load) -> None:
    first, again = pipeline.generate(PROMPT, n=2, seed=7), load().generate(PROMPT, n=2, seed=7)
    assert same(first.tokens, again.tokens)
    assert [image.tobytes() for image in first.images] == [image.tobytes() for image in again.images]


def test_picture_i_depends_on_prompt_seed_and_i_alone(pipeline: Pipeline) -> None:
    four = pipeline.generate(PROMPT, n=4, seed=3).tokens
    assert same(pipeline.generate(PROMPT, n=1, seed=3).tokens, four[:1])
    assert same(pipeline.generate_many([PROMPT], n=4, seed=3, batch=3)[0].tokens, four)
    assert not same(pipeline.generate(PROMPT, n=4, seed=4).tokens, four)
    assert not np.array_equal(four[0], four[1])


def test_many_prompts_together_are_each_alone(pipeline: Pipeline) -> None:
    prompts = [PROMPT, "a blue cross, and more words than the others", "green", PROMPT]
    together = pipeline.generate_many(prompts, n=2, seed=5)
    for prompt, result in zip(prompts, together, strict=True):
        alone = pipeline.generate(prompt, n=2, seed=5)
        assert same(result.tokens, alone.tokens)
        assert [one.document.id for one in result.retrieved] == [one.document.id for one in alone.retrieved]


def test_spaces_around_a_prompt_do_not_matter(pipeline: Pipeline) -> None:
    assert same(pipeline.generate(f"  {PROMPT}\n").tokens, pipeline.generate(PROMPT).tokens)


def test_retrieved_documents_come_with_their_scores_the_best_last(pipeline: Pipeline) -> None:
    scores = [one.score for one in pipeline.generate(PROMPT).retrieved]
    assert scores == sorted(scores)
    vector = pipeline.embedder.embed_texts([PROMPT])[0]
    assert pipeline.bank is not None
    best = pipeline.bank.vectors(pipeline.bank.keys, "document") @ vector
    assert scores[-1] == pytest.approx(best.max(), abs=1e-6)


@pytest.mark.parametrize("engine", ["hnsw", "faiss", "hnswlib/hnsw", "faiss/index"])
def test_the_engine_that_searches_changes_nothing(pipeline: Pipeline, load: Load, engine: str) -> None:
    exact, other = pipeline.generate(PROMPT, seed=2), load(swap={"retriever": engine}).generate(PROMPT, seed=2)
    assert [(one.document.id, one.score) for one in other.retrieved] == [
        (one.document.id, one.score) for one in exact.retrieved
    ]
    assert same(other.tokens, exact.tokens)


def test_without_retrieval_nothing_is_laid_before_and_no_bank_is_needed(pipeline: Pipeline, load: Load) -> None:
    drawn = load("no-retrieval").generate(PROMPT, seed=2)
    assert drawn.retrieved == []
    assert not same(drawn.tokens, pipeline.generate(PROMPT, seed=2).tokens)
    bankless = load("bankless", swap={"retriever": "none/none"})
    assert bankless.bank is None
    assert same(bankless.generate(PROMPT, seed=2).tokens, drawn.tokens)


def test_a_bank_that_is_not_there_matters_only_to_who_searches_or_names_it(registry: Path, tmp_path: Path) -> None:
    import calumma

    lost = tmp_path / "lost.yaml"
    relative = os.path.relpath(registry, tmp_path)
    lost.write_text(f"calumma: 1\ninclude: ['{relative}']\nbanks: {{tiny: {{path: gone}}}}\n")
    assert calumma.load(lost, pipeline="no-retrieval").bank is None
    with pytest.raises(AssetError, match="gone"):
        calumma.load(lost)
    with pytest.raises(AssetError, match="gone"):
        calumma.load(lost, pipeline="no-retrieval", bank="tiny")


def test_given_documents_stand_in_for_the_banks(pipeline: Pipeline) -> None:
    usual = pipeline.generate(PROMPT, seed=2)
    (given,) = pipeline.generate_many([PROMPT], seed=2, retrieved=[usual.retrieved])
    (bare,) = pipeline.generate_many([PROMPT], seed=2, retrieved=[[]])
    assert same(given.tokens, usual.tokens)
    assert not same(bare.tokens, usual.tokens)


def test_documents_are_given_for_each_prompt_or_for_none(pipeline: Pipeline) -> None:
    assert pipeline.generate_many([]) == []
    with pytest.raises(InputError, match="1 lists were retrieved for 2 prompts"):
        pipeline.generate_many([PROMPT, PROMPT], retrieved=[[]])


def test_options_reach_the_parts(load: Load) -> None:
    one = load(set={"selection.documents": 1, "sampler.temperature": 0.0}).generate(PROMPT, n=2)
    assert len(one.retrieved) == 1
    assert same(one.tokens[:1], one.tokens[1:])


def test_a_retriever_without_a_bank_is_refused_with_what_mends_it(load: Load) -> None:
    with pytest.raises(ComponentError, match="exact/flat needs a bank") as caught:
        load("bankless")
    assert "--bank" in caught.value.fix
    assert "--swap retriever=none" in caught.value.fix


def test_a_bank_of_another_embedder_is_refused(load: Load) -> None:
    with pytest.raises(MismatchError, match="bank foreign was embedded by openclip/clip#"):
        load(bank="foreign")
    with pytest.raises(MismatchError, match="bank tiny"):
        load(swap={"embedder": "another"})
    assert load(bank="foreign", swap={"embedder": "another"}).generate(PROMPT).retrieved


def test_a_decoder_of_another_tokenizers_codes_is_refused(load: Load) -> None:
    with pytest.raises(MismatchError, match="trained with the image_tokenizer taming/vqgan#") as caught:
        load(swap={"image_tokenizer": "another"})
    assert "train a decoder" in caught.value.fix


@pytest.mark.parametrize("prompt", ["", "  \n\t"])
def test_an_empty_prompt_is_refused(pipeline: Pipeline, prompt: str) -> None:
    with pytest.raises(InputError, match="prompt is empty"):
        pipeline.generate(prompt)


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_a_seed_out_of_range_is_refused(pipeline: Pipeline, seed: int) -> None:
    with pytest.raises(InputError, match="seed"):
        pipeline.generate(PROMPT, seed=seed)


def test_no_samples_are_refused(pipeline: Pipeline) -> None:
    with pytest.raises(InputError, match="0 samples"):
        pipeline.generate(PROMPT, n=0)


def test_a_prompt_that_does_not_fit_the_context_is_refused(pipeline: Pipeline) -> None:
    with pytest.raises(InputError, match="context"):
        pipeline.generate("square " * 300)


def test_one_prompt_of_many_that_does_not_fit_is_refused_before_anything_is_drawn(pipeline: Pipeline) -> None:
    steps: list[object] = []
    with pytest.raises(InputError, match="context"):
        pipeline.generate_many([PROMPT] * 3 + ["square " * 300], batch=1, on_progress=steps.append)
    assert steps == []


def test_a_rule_without_its_stream_is_refused_by_name(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = load()
    written = pipeline.layout.streams

    def conditional_alone(document: object, retrieved: object, names: object) -> dict[str, object]:
        return {name: ids for name, ids in written(document, retrieved, names).items() if name == "conditional"}

    monkeypatch.setattr(pipeline.layout, "streams", conditional_alone)
    with pytest.raises(ComponentError) as caught:
        pipeline.generate(PROMPT)
    assert "guidance needs the stream 'unconditional'" in caught.value.message
    assert "cm3leon/decoder" in caught.value.message
    assert "guidance of 1 is off" in caught.value.fix
    assert pipeline.caption(np.zeros((SIDE, SIDE, 3), np.uint8)).texts  # texts are not guided


@pytest.mark.parametrize("device", ["abacus", "cuda:99"])
def test_a_device_that_is_not_there_is_refused(registry: Path, device: str) -> None:
    import calumma

    with pytest.raises(InputError, match=device):
        calumma.load(registry, device=device).generate(PROMPT)


def test_an_unknown_swap_or_option_is_refused_with_the_nearest(load: Load) -> None:
    with pytest.raises(RegistryError, match="Did you mean 'hnsw'"):
        load(swap={"retriever": "hnws"})
    with pytest.raises(RegistryError, match="Did you mean 'temperature'"):
        load(set={"sampler.temprature": 1})


def test_a_part_can_be_had_by_its_id_without_a_registry() -> None:
    import calumma

    assert calumma.component("hnswlib/hnsw", M=16).options.M == 16
    assert calumma.component("sampling/top-k", k=3).options.k == 3
    with pytest.raises(ComponentError, match="unknown option 'm'"):
        calumma.component("hnswlib/hnsw", m=16)
    with pytest.raises(ComponentError, match="hnswlib/hnws"):
        calumma.component("hnswlib/hnws")


def test_it_is_a_context_manager_and_prints_its_parts(load: Load) -> None:
    with load() as pipeline:
        assert "cm3leon/decoder" in repr(pipeline)
        assert "tiny" in repr(pipeline)


def test_nothing_is_loaded_before_the_first_request(load: Load) -> None:
    pipeline = load()
    assert pipeline.decoder._model is None
    pipeline.generate(PROMPT)
    assert pipeline.decoder._model is not None
