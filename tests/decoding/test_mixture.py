from __future__ import annotations

from collections import Counter

import pytest
from pydantic import ValidationError
from tests.decoding.tiny_model import Cells, TinyDecoder, Words, drawn

import calumma
from calumma.errors import ComponentError
from calumma.interfaces import Part, Sampler
from calumma_plugins.sampling.jacobi import JacobiSampler
from calumma_plugins.sampling.mixture import MixtureSampler, part_of
from calumma_plugins.sampling.nucleus import NucleusSampler
from calumma_plugins.sampling.options import JacobiOptions, MixtureOptions, NucleusOptions, TopKOptions
from calumma_plugins.sampling.rules import TopK

NUCLEUS, GREEDY = (NucleusSampler(NucleusOptions(guidance=2, temperature=t)) for t in (1.0, 0.0))
UNGUIDED = NucleusSampler(NucleusOptions(guidance=1, top_p=1))
JACOBI = JacobiSampler(JacobiOptions(guidance=2, window=3))


def mixture(*parts: Sampler, shares: list[float] | None = None) -> MixtureSampler:
    return MixtureSampler(MixtureOptions(parts=[Part(part.id, part) for part in parts], shares=shares))


@pytest.mark.parametrize("parts", [(NUCLEUS, GREEDY), (NUCLEUS, UNGUIDED), (JACOBI, NUCLEUS), (UNGUIDED, JACOBI, GREEDY)])
@pytest.mark.parametrize("constraint", [Cells(), Words()])
def test_each_sample_is_what_its_part_draws_alone(parts: tuple[Sampler, ...], constraint) -> None:
    sampler, samples = mixture(*parts), [3, 0, 1, 7, 2, 5, 4, 6]
    rows = drawn(sampler, TinyDecoder(), constraint, sampler.rules(constraint.modality), samples)
    own = [part_of(sample, [1 / len(parts)] * len(parts)) for sample in samples]
    for sample, part, row in zip(samples, own, rows, strict=True):
        alone = drawn(parts[part], TinyDecoder(), constraint, parts[part].rules(constraint.modality), [sample])
        assert alone == [row]
    assert len(set(own)) == len(parts)


def test_halves_take_turns_and_any_number_is_shared_out_evenly() -> None:
    assert [part_of(sample, [0.5, 0.5]) for sample in range(6)] == [0, 1, 0, 1, 0, 1]
    for shares in ([0.25, 0.75], [0.2, 0.5, 0.3], [0.0, 1.0], [1.0, 0.0]):
        for n in (16, 100, 1000):
            counts = Counter(part_of(sample, shares) for sample in range(n))
            assert all(abs(counts[part] - share * n) <= 3 for part, share in enumerate(shares))


def test_parts_of_the_same_loop_and_streams_share_a_batch() -> None:
    calls = []

    class Counting(TinyDecoder):
        def start(self, prompts, capacity):
            calls.append(len(prompts))
            return super().start(prompts, capacity)

    for parts, starts in (((NUCLEUS, GREEDY), 1), ((NUCLEUS, UNGUIDED), 2), ((NUCLEUS, JACOBI), 2)):
        calls.clear()
        sampler = mixture(*parts)
        drawn(sampler, Counting(), Cells(), sampler.rules("image"), range(4))
        assert len(calls) == starts


def test_other_rules_are_applied_to_all_parts() -> None:
    sampler = mixture(NUCLEUS, JACOBI, GREEDY)
    rows = drawn(sampler, TinyDecoder(), Cells(), [TopK(TopKOptions(k=1))], range(6))
    assert len(set(rows)) == 1


def test_its_defaults_are_nucleus_and_cd_k() -> None:
    sampler = calumma.component("sampling/mixture")
    assert [[rule.id for rule in part.rules("image")] for part in sampler.parts] == [
        ["sampling/guidance", "sampling/top-p"],
        ["sampling/contrastive"],
    ]


def test_wrong_shares_and_parts_are_refused() -> None:
    with pytest.raises(ValidationError, match="there are 1 shares for 2 parts"):
        MixtureOptions(shares=[1.0])
    with pytest.raises(ValidationError, match="all shares are 0"):
        MixtureOptions(shares=[0.0, 0.0])
    with pytest.raises(ComponentError, match="is no sampler"):
        MixtureSampler(MixtureOptions(parts=[Part("sampling/top-k", TopK(TopKOptions()))])).rules("image")
