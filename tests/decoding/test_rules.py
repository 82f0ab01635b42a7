from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from calumma.documents import CONDITIONAL, IMAGE_ONLY, UNCONDITIONAL
from calumma.errors import FailedError
from calumma.interfaces import Noise, Rule
from calumma_plugins.sampling.contrast import Contrastive
from calumma_plugins.sampling.drawing import draw
from calumma_plugins.sampling.guidance import EditGuidance, Guidance, ScheduledGuidance
from calumma_plugins.sampling.options import (
    ContrastiveOptions,
    EditGuidanceOptions,
    GuidanceOptions,
    MinPOptions,
    ScheduledGuidanceOptions,
    TemperatureOptions,
    TopKOptions,
    TopPOptions,
)
from calumma_plugins.sampling.rules import MinP, Temperature, TopK, TopP

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
@given(rows, st.floats(0.01, 1))
def test_min_p_keeps_a_share_of_the_likeliest(scores: list[list[float]], share: float) -> None:
    for row, indexes in zip(scores, kept(apply(MinP(MinPOptions(min_p=share)), scores)), strict=True):
        mass = np.exp(np.array(row, np.float64) - max(row))
        assert mass[indexes].min() >= share * (1 - 1e-5)
        assert np.delete(mass, indexes).max(initial=0) <= share * (1 + 1e-5)


def contrasted(scores: list[list[float]], other: list[list[float]], **options: float) -> torch.Tensor:
    return apply(Contrastive(ContrastiveOptions(**options)), scores, other)


@settings(deadline=None)
@given(rows, st.sampled_from([0.0, 0.1, 0.5, 1.0]), st.integers(1, 12), st.floats(0.2, 3))
def test_contrast_is_its_formula(scores: list[list[float]], alpha: float, k: int, temperature: float) -> None:
    other = [row[::-1] for row in scores]
    got = contrasted(scores, other, alpha=alpha, k=k, amateur_temperature=temperature).double()
    strong = torch.tensor(scores, dtype=torch.float64).softmax(1)
    weak = (torch.tensor(other, dtype=torch.float64) / temperature).softmax(1)
    kth = strong.sort(1, descending=True).values[:, min(k, strong.shape[1]) - 1, None]
    sure = (strong - alpha * kth).abs() > 1e-6 * kth  # float32 may decide either way on the edge
    inside = strong >= alpha * kth
    assert torch.equal(got.isfinite()[sure], inside[sure])
    ratio = (strong / weak).log()
    for row, wanted in zip(got, ratio, strict=True):
        both = row.isfinite()
        apart = (row - wanted)[both]
        assert (apart - apart[0]).abs().max() < 1e-4  # equal but for what moves the whole row


@settings(deadline=None)
@given(rows, st.floats(0, 1))
def test_cd_k_with_k_of_1_is_contrastive_decoding_bit_for_bit(scores: list[list[float]], alpha: float) -> None:
    other = [row[::-1] for row in scores]
    strong, weak = torch.tensor(scores), torch.tensor(other)
    least = strong.amax(1, keepdim=True) + (math.log(alpha) if alpha else -INF)  # the maximum, and no k-th largest
    wanted = (strong - weak).masked_fill(strong < least, -INF)
    assert torch.equal(contrasted(scores, other, alpha=alpha, k=1, amateur_temperature=1), wanted)


def test_contrastive_decoding_prefers_what_the_prompt_made_likelier_and_cd_k_leaves_more() -> None:
    scores, other = [[2.0, 1.9, 0.0, -9.0]], [[2.0, 0.0, 1.0, -20.0]]
    assert contrasted(scores, other).argmax().item() == 1
    assert [kept(contrasted(scores, other, k=k)) for k in (1, 3, 9)] == [[[0, 1]], [[0, 1, 2]], [[0, 1, 2, 3]]]


def edited(scores: list[list[float]], image: float, text: float) -> torch.Tensor:
    """Over the streams that the rule asks for, and no other."""
    rule = EditGuidance(EditGuidanceOptions(image_weight=image, text_weight=text))
    told = {UNCONDITIONAL: [row[::-1] for row in scores], IMAGE_ONLY: [[one / 2 for one in row] for row in scores]}
    logits = {CONDITIONAL: torch.tensor(scores), **{name: torch.tensor(told[name]) for name in rule.streams}}
    index = np.arange(len(scores))
    return rule(logits, index, index)


@settings(deadline=None)
@given(rows, st.sampled_from([0.0, 1.0, 1.2, 3.0]), st.sampled_from([0.0, 1.0, 1.2, 7.5]))
def test_guidance_of_edits_is_its_formula_whatever_streams_it_needs(
    scores: list[list[float]], image: float, text: float
) -> None:
    cond = np.array(scores)
    unc, img = cond[:, ::-1], cond / 2
    assert np.allclose(edited(scores, image, text).numpy(), unc + image * (img - unc) + text * (cond - img), atol=1e-3)


def test_guidance_of_edits_asks_for_no_stream_that_would_change_nothing() -> None:
    def asked(image: float, text: float) -> set[str]:
        return set(EditGuidance(EditGuidanceOptions(image_weight=image, text_weight=text)).streams)

    assert asked(1.2, 7.5) == {UNCONDITIONAL, IMAGE_ONLY}
    assert asked(3, 3) == {UNCONDITIONAL}
    assert asked(1, 3) == {IMAGE_ONLY}
    assert asked(1, 1) == set()
    scores = [[0.3, -2.0, 5.0]]
    plain = apply(Guidance(GuidanceOptions(weight=3)), scores, [row[::-1] for row in scores])
    assert torch.equal(edited(scores, 3, 3), plain)


SCHEDULES = {
    "constant": [3.0, 3.0, 3.0, 3.0, 3.0, 3.0],
    "linear": [1.0, 1.5, 2.0, 2.5, 3.0, 3.0],
    "cosine": [1.0, 2 - math.sqrt(0.5), 2.0, 2 + math.sqrt(0.5), 3.0, 3.0],
}


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_schedule_goes_from_start_to_weight_over_its_length(schedule: str) -> None:
    rule = ScheduledGuidance(ScheduledGuidanceOptions(schedule=schedule, length=5))
    positions = np.array([0, 1, 2, 3, 4, 99])
    assert np.allclose(rule.weights(positions), SCHEDULES[schedule])
    scores, other = torch.tensor([[1.0, -2.0, 0.5]] * 6), torch.tensor([[0.0, 3.0, -1.0]] * 6)
    got = rule({CONDITIONAL: scores, UNCONDITIONAL: other}, np.arange(6), positions)
    assert torch.allclose(got, other + torch.tensor(SCHEDULES[schedule])[:, None] * (scores - other), atol=1e-5)
    assert torch.equal(got[0], scores[0]) or schedule == "constant"  # a weight of 1 is off, to the bit


def test_guidance_of_an_interval_is_off_outside_it() -> None:
    rule = ScheduledGuidance(ScheduledGuidanceOptions(schedule="constant", weight=4, begin=2, end=4))
    assert rule.weights(np.arange(6)).tolist() == [1, 1, 4, 4, 1, 1]
    assert ScheduledGuidance(ScheduledGuidanceOptions(weight=1)).streams == frozenset()
    with pytest.raises(ValidationError, match="no id is guided from 4 to before 2"):
        ScheduledGuidanceOptions(begin=4, end=2)


def test_a_length_of_one_is_there_at_once() -> None:
    rule = ScheduledGuidance(ScheduledGuidanceOptions(length=1))
    assert rule.weights(np.array([0, 1])).tolist() == [1, 3]


@pytest.mark.parametrize(
    "rule",
    [
        Guidance(GuidanceOptions(weight=1)),
        ScheduledGuidance(ScheduledGuidanceOptions(weight=1)),
        EditGuidance(EditGuidanceOptions(image_weight=1, text_weight=1)),
        Temperature(TemperatureOptions(temperature=1)),
        TopK(TopKOptions(k=5)),
        TopP(TopPOptions(p=1)),
        MinP(MinPOptions(min_p=0)),
    ],
    ids=lambda rule: rule.id,
)
def test_a_rule_that_is_off_changes_no_bit(rule: Rule) -> None:
    scores = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
    scores[1, 2] = -INF
    index = np.arange(4)
    assert torch.equal(rule({CONDITIONAL: scores}, index, index), scores)


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
