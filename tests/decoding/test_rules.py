from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from calumma.documents import CONDITIONAL, UNCONDITIONAL
from calumma.errors import FailedError
from calumma.interfaces import Noise, Rule
from calumma_plugins.sampling.drawing import draw
from calumma_plugins.sampling.options import GuidanceOptions, TemperatureOptions, TopKOptions, TopPOptions
from calumma_plugins.sampling.guidance import Guidance
from calumma_plugins.sampling.rules import Temperature, TopK, TopP

INF = float("inf")
numbers = st.floats(-8, 8, width=32)
rows = st.integers(2, 9).flatmap(lambda n: st.lists(st.lists(numbers, min_size=n, max_size=n), min_size=1, max_size=4))


def apply(rule: Rule, scores: list[list[float]], unconditional: list[list[float]] | None = None) -> torch.Tensor:
    logits = {CONDITIONAL: torch.tensor(scores)}
    if unconditional is not None:
        logits[UNCONDITIONAL] = torch.tensor(unconditional)
    index = np.arange(len(scores))
    return rule(logits, index, index)


def kept(scores: torch.Tensor) -> list[list[int]]:
    return [torch.isfinite(row).nonzero().flatten().tolist() for row in scores]


@settings(deadline=None)
@given(rows, st.floats(0, 9))
def test_guidance_is_its_formula(scores: list[list[float]], weight: float) -> None:
    other = [row[::-1] for row in scores]
    rule = Guidance(GuidanceOptions(weight=weight))
    unc, cond = np.array(other), np.array(scores)
    assert np.allclose(apply(rule, scores, other).numpy(), unc + weight * (cond - unc), atol=1e-4)


def test_guidance_of_one_needs_no_other_stream() -> None:
    rule = Guidance(GuidanceOptions(weight=1))
    assert rule.streams == frozenset()
    assert apply(rule, [[1.0, 2.0]]).tolist() == [[1.0, 2.0]]
    assert Guidance(GuidanceOptions(weight=2)).streams == {UNCONDITIONAL}


@pytest.mark.parametrize("weight", [0.0, 0.5, 3.0])
def test_guidance_brings_nothing_back_that_was_ruled_out(weight: float) -> None:
    assert kept(apply(Guidance(GuidanceOptions(weight=weight)), [[-INF, 1.0, 0.0]], [[1.0, 1.0, 1.0]])) == [[1, 2]]


@settings(deadline=None)
@given(rows, st.floats(0.1, 5))
def test_temperature_divides(scores: list[list[float]], temperature: float) -> None:
    got = apply(Temperature(TemperatureOptions(temperature=temperature)), scores)
    assert np.allclose(got.numpy(), np.array(scores) / temperature, atol=1e-4)


def test_temperature_zero_keeps_the_first_of_the_likeliest() -> None:
    got = apply(Temperature(TemperatureOptions(temperature=0)), [[1.0, 3.0, 3.0], [2.0, -INF, 0.0]])
    assert kept(got) == [[1], [0]]


@pytest.mark.parametrize("temperature", [1e-45, 1e-38, 1e-31])
def test_a_temperature_too_low_to_divide_by_is_greedy(temperature: float) -> None:
    got = apply(Temperature(TemperatureOptions(temperature=temperature)), [[1.0, 300.0, 30.0]])
    assert kept(got) == [[1]]


@settings(deadline=None)
@given(rows, st.integers(1, 12))
def test_top_k_keeps_what_is_level_with_the_kth(scores: list[list[float]], k: int) -> None:
    for row, indexes in zip(scores, kept(apply(TopK(TopKOptions(k=k)), scores)), strict=True):
        least = sorted(row, reverse=True)[min(k, len(row)) - 1]
        assert indexes == [i for i, score in enumerate(row) if score >= least]


@settings(deadline=None)
@given(rows, st.floats(0.05, 1))
def test_the_nucleus_is_the_smallest_set_of_that_mass(scores: list[list[float]], p: float) -> None:
    for row, indexes in zip(scores, kept(apply(TopP(TopPOptions(p=p)), scores)), strict=True):
        mass = np.exp(np.array(row, np.float64) - max(row))
        mass /= mass.sum()
        held = mass[indexes].sum()
        assert held >= p - 1e-6
        assert mass[indexes].min() >= np.delete(mass, indexes).max(initial=0)
        assert p == 1 or len(indexes) == 1 or held - mass[indexes].min() < p + 1e-6


def test_the_nucleus_takes_lower_ids_first_among_equals() -> None:
    assert kept(apply(TopP(TopPOptions(p=0.5)), [[0.0, 0.0, 0.0, 0.0]])) == [[0, 1]]


@settings(deadline=None)
@given(
    rows, st.sampled_from([TopK(TopKOptions(k=1)), TopP(TopPOptions(p=0.01)), Temperature(TemperatureOptions(temperature=0))])
)
def test_no_rule_rules_out_everything(scores: list[list[float]], rule: Rule) -> None:
    scores = [[-INF, *row] for row in scores]
    assert all(kept(apply(rule, scores)))


def test_draws_follow_the_distribution() -> None:
    p = np.array([0.5, 0.0, 0.3, 0.2])
    scores = torch.from_numpy(np.log(np.maximum(p, 1e-300))).where(torch.from_numpy(p > 0), -INF)
    n = 4000
    drawn = draw(scores.expand(n, 4), Noise(5), range(n), [0] * n)
    assert np.allclose(np.bincount(drawn, minlength=4) / n, p, atol=0.03)


def test_a_draw_knows_only_its_sample_and_offset() -> None:
    scores = torch.randn(6, 50, generator=torch.Generator().manual_seed(0))
    together = draw(scores, Noise(1), [3, 4, 5, 6, 7, 8], [0, 1, 2, 3, 4, 5])
    apart = [draw(scores[i : i + 1], Noise(1), [3 + i], [i])[0] for i in range(6)]
    assert together.tolist() == apart


class Edge(Noise):
    """Noise at the ends of its range."""

    def uniform(self, sample: int, position: int, size: int, purpose: int = 0) -> np.ndarray:
        return np.array([0.0 if sample == 0 else np.nextafter(1.0, 0.0)])


def test_what_is_ruled_out_is_never_drawn_not_even_at_the_edges() -> None:
    scores = torch.tensor([[-INF, 0.1, 0.7, -INF]])
    assert draw(scores, Edge(0), [0], [0]).tolist() == [1]
    assert draw(scores, Edge(0), [1], [0]).tolist() == [2]


@pytest.mark.parametrize("row", [[-INF, -INF], [float("nan"), 0.0]])
def test_rules_that_leave_nothing_are_named(row: list[float]) -> None:
    with pytest.raises(FailedError, match="rules"):
        draw(torch.tensor([row]), Noise(0), [0], [0])
