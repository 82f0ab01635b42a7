"""Draws against the exact chance of every sequence: plain, speculative Jacobi, coupled, under every sort of target."""

from __future__ import annotations

import pytest
from tests.decoding.tiny_model import Cells, Words, agreement

from calumma.interfaces import Rule, Sampler
from calumma_plugins.sampling.contrast import Contrastive
from calumma_plugins.sampling.guidance import EditGuidance, Guidance, ScheduledGuidance
from calumma_plugins.sampling.jacobi import JacobiSampler
from calumma_plugins.sampling.nucleus import NucleusSampler
from calumma_plugins.sampling.options import (
    ContrastiveOptions,
    EditGuidanceOptions,
    GuidanceOptions,
    JacobiOptions,
    MinPOptions,
    NucleusOptions,
    ScheduledGuidanceOptions,
    TemperatureOptions,
    TopPOptions,
)
from calumma_plugins.sampling.rules import MinP, Temperature, TopP

LEAST = 1e-4  # chance has a right sampler refused once in 10,000; seeds are fixed
SAMPLERS: dict[str, Sampler] = {
    "plain": NucleusSampler(NucleusOptions()),
    "jacobi": JacobiSampler(JacobiOptions(coupled=False)),
    "coupled": JacobiSampler(JacobiOptions()),
}
GUIDED: list[Rule] = [Guidance(GuidanceOptions(weight=2)), TopP(TopPOptions(p=0.95))]
CD_K: list[Rule] = [
    Contrastive(ContrastiveOptions(k=3, amateur_temperature=1)),
    Temperature(TemperatureOptions(temperature=2)),
]
EDIT: list[Rule] = [
    EditGuidance(EditGuidanceOptions(image_weight=1.2, text_weight=2)),
    ScheduledGuidance(ScheduledGuidanceOptions(weight=1.5, start=0.5, length=3)),
    MinP(MinPOptions(min_p=0.02)),
]


@pytest.mark.parametrize("name", SAMPLERS)
def test_ids_of_one_set_are_as_likely_as_they_should_be(name: str) -> None:
    assert agreement(SAMPLERS[name], Cells()) > LEAST


@pytest.mark.parametrize("name", ["jacobi", "coupled"])
def test_texts_of_any_length_are_as_likely_as_they_should_be(name: str) -> None:
    assert agreement(SAMPLERS[name], Words(), seed=1) > LEAST


@pytest.mark.parametrize(("name", "rules"), [("jacobi", GUIDED), ("coupled", CD_K), ("coupled", EDIT)])
def test_guided_and_contrastive_targets_are_met(name: str, rules: list[Rule]) -> None:
    assert agreement(SAMPLERS[name], Cells(), rules, seed=2) > LEAST


@pytest.mark.slow
@pytest.mark.parametrize("window", [2, 3, 16])
@pytest.mark.parametrize("coupled", [False, True])
@pytest.mark.parametrize("rules", [GUIDED, CD_K, EDIT], ids=["guided", "contrastive", "edited"])
@pytest.mark.parametrize("constraint", [Cells(), Words()], ids=["cells", "words"])
def test_every_window_is_exact_for_every_target(constraint, rules: list[Rule], coupled: bool, window: int) -> None:
    assert agreement(JacobiSampler(JacobiOptions(window=window, coupled=coupled)), constraint, rules, seed=3) > LEAST


class WithoutResidual(JacobiSampler):
    """Where a draft is refused it draws from the new distribution as a whole. Broken on purpose."""

    @staticmethod
    def residual(p, q):
        return p


def test_another_draw_than_the_residual_shows() -> None:
    assert agreement(WithoutResidual(JacobiOptions(coupled=False)), Cells()) < LEAST
