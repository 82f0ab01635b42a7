from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pydantic import Field
from tests.contracts.breaking import assert_caught

from calumma.contracts import SamplerContract, run
from calumma.contracts.filling import Flat, PlainRule
from calumma.contracts.samples.rule import SharpenOptions, SharpenRule
from calumma.contracts.samples.sampler import GumbelSampler
from calumma.documents import Constraint
from calumma.errors import ComponentError
from calumma.extension import Catalog, ComponentSpec, hookimpl
from calumma.interfaces import Noise, Options


class TestGumbelSampler(SamplerContract):
    component = GumbelSampler


class TestNucleus(SamplerContract):
    component = "sampling/nucleus"


class TestNucleusGreedy(SamplerContract):
    component = "sampling/nucleus"
    options = {"temperature": 0, "text_temperature": 0, "text_guidance": 2.0, "top_k": 3}


class TestJacobi(SamplerContract):
    component = "sampling/jacobi"


class TestJacobiUncoupled(SamplerContract):
    component = "sampling/jacobi"
    options = {"coupled": False, "window": 5, "text_guidance": 2.0}


class TestMixture(SamplerContract):
    component = "sampling/mixture"


class TestMixtureOfLoops(SamplerContract):
    component = "sampling/mixture"
    options = {
        "parts": [{"use": "sampling/jacobi", "window": 4}, {"use": "sampling/nucleus", "guidance": 1.0}],
        "shares": [1, 3],
    }


# --- broken on purpose: each changes what the sampler is given, or what it says ---


class Told(Noise):
    """Noise through a function of (noise, sample, position, size)."""

    def __new__(cls, noise, change):
        return object.__new__(cls)

    def __init__(self, noise, change):
        super().__init__(noise.seed)
        object.__setattr__(self, "change", change)

    def gumbel(self, sample, position, size, purpose=0):
        return self.change(Noise(self.seed), sample, position, size)


class OtherNoise(GumbelSampler):
    def noise(self, noise, sample, position, size):
        return noise.gumbel(sample, position, size)

    def fill(self, decoder, streams, constraints, rules, noise, samples):
        yield from super().fill(decoder, streams, constraints, rules, Told(noise, self.noise), samples)


class TorchRand(OtherNoise):
    def noise(self, noise, sample, position, size):
        return -np.log(-np.log(torch.rand(size).double().clamp(min=1e-9).numpy()))


class SeedsNumpy(OtherNoise):
    def noise(self, noise, sample, position, size):
        np.random.seed((noise.seed + sample * 1000 + position) % 2**31)
        return np.random.gumbel(size=size)


class OneNoiseForAllPositions(OtherNoise):
    def noise(self, noise, sample, position, size):
        return noise.gumbel(sample, 0, size)


class OneNoiseForAllSamples(OtherNoise):
    def noise(self, noise, sample, position, size):
        return noise.gumbel(0, position, size)


class SeedIgnored(OtherNoise):
    def noise(self, noise, sample, position, size):
        return Noise(0).gumbel(sample, position, size)


class Greedy(OtherNoise):
    def noise(self, noise, sample, position, size):
        return np.zeros(size)


class TooHot(OtherNoise):
    def noise(self, noise, sample, position, size):
        return 2 * noise.gumbel(sample, position, size)


class InOrderOfBatch(GumbelSampler):
    def fill(self, decoder, streams, constraints, rules, noise, samples):
        yield from super().fill(decoder, streams, constraints, rules, noise, range(len(samples)))


class OneGenerator(GumbelSampler):
    """Rows draw from one generator in turn."""

    def fill(self, decoder, streams, constraints, rules, noise, samples):
        generator = np.random.default_rng((noise.seed, samples[0]))
        told = Told(noise, lambda noise, sample, position, size: generator.gumbel(size=size))
        yield from super().fill(decoder, streams, constraints, rules, told, samples)


class Remembers(OtherNoise):
    draws = 0

    def noise(self, noise, sample, position, size):
        self.draws = (self.draws + 1) % 997
        return noise.gumbel(sample, position + 1000 * (self.draws % 3), size)


class Loose(Constraint):
    def __init__(self, right, allowed):
        self.modality, self.capacity, self.right = right.modality, right.capacity, right
        self.change = allowed

    def allowed(self, offset, previous):
        return self.change(self.right, offset, previous)


class OtherConstraints(GumbelSampler):
    def allowed(self, right, offset, previous):
        return right.allowed(offset, previous)

    def fill(self, decoder, streams, constraints, rules, noise, samples):
        changed = [Loose(one, self.allowed) for one in constraints]
        yield from super().fill(decoder, streams, changed, rules, noise, samples)


class KnownCellsDrawnAnew(OtherConstraints):
    def allowed(self, right, offset, previous):
        ids = right.allowed(offset, previous)
        return ids if ids is None or len(ids) > 1 or not 256 <= ids[0] < 264 else np.arange(256, 264)


class AnyId(OtherConstraints):
    def allowed(self, right, offset, previous):
        ids = right.allowed(offset, previous)
        return ids if ids is None else np.arange(0, 264)


class TakesWhatLiesBetween(OtherConstraints):
    def allowed(self, right, offset, previous):
        ids = right.allowed(offset, previous)
        return ids if ids is None or ids[-1] >= 264 else np.arange(ids[0], ids[-1] + 1)


class ClosingForgotten(OtherConstraints):
    def allowed(self, right, offset, previous):
        ids = right.allowed(offset, previous)
        return None if ids is not None and ids[0] >= 264 else ids


class StopsEarly(OtherConstraints):
    def allowed(self, right, offset, previous):
        return None if offset == right.capacity - 2 else right.allowed(offset, previous)


class GoesOnBehindTheEnd(OtherConstraints):
    def allowed(self, right, offset, previous):
        ids = right.allowed(offset, previous)
        return np.arange(256) if ids is None and offset < right.capacity else ids


class RulesIgnored(GumbelSampler):
    def fill(self, decoder, streams, constraints, rules, noise, samples):
        yield from super().fill(decoder, streams, constraints, [], noise, samples)


class OwnRules(GumbelSampler):
    """Applies rules of its own on top of those it is given."""

    def fill(self, decoder, streams, constraints, rules, noise, samples):
        own = [*rules, SharpenRule(SharpenOptions(power=8))]
        yield from super().fill(decoder, streams, constraints, own, noise, samples)


class OnlyTheFirstRule(GumbelSampler):
    def fill(self, decoder, streams, constraints, rules, noise, samples):
        yield from super().fill(decoder, streams, constraints, rules[:1], noise, samples)


class Shown(PlainRule):
    def __init__(self, right, change):
        super().__init__()
        self.right, self.change, self.streams = right, change, right.streams

    def __call__(self, logits, rows, positions):
        return self.right(*self.change(logits, rows, positions))


class ShowsOthers(GumbelSampler):
    def fill(self, decoder, streams, constraints, rules, noise, samples):
        yield from super().fill(decoder, streams, constraints, [Shown(one, self.show) for one in rules], noise, samples)


class ShowsPlaces(ShowsOthers):
    def show(self, logits, rows, positions):
        return logits, np.zeros_like(rows), positions


class ShowsPositionsFromOne(ShowsOthers):
    def show(self, logits, rows, positions):
        return logits, rows, positions + 1


class ShowsOneStreamTwice(ShowsOthers):
    def show(self, logits, rows, positions):
        return dict.fromkeys(logits, logits["conditional"]), rows, positions


class ShowsProbabilities(ShowsOthers):
    def show(self, logits, rows, positions):
        return {**logits, "conditional": logits["conditional"].log_softmax(1)}, rows, positions


class DoesWithoutStreams(GumbelSampler):
    def fill(self, decoder, streams, constraints, rules, noise, samples):
        streams = {"unconditional": streams["conditional"], **streams}
        yield from super().fill(decoder, streams, constraints, rules, noise, samples)


class BlamesNobody(GumbelSampler):
    def fill(self, decoder, streams, constraints, rules, noise, samples):
        if any(rule.streams - set(streams) for rule in rules):
            raise ComponentError("A rule needs another stream.", "Pass it.")
        yield from super().fill(decoder, streams, constraints, rules, noise, samples)


class Unwilling(Shown):
    """Where nothing is left it goes back to what was there before."""

    def __call__(self, logits, rows, positions):
        scores = super().__call__(logits, rows, positions)
        return torch.where(torch.isfinite(scores).any(1, keepdim=True), scores, logits["conditional"])


class DrawsFromNothing(ShowsOthers):
    def show(self, logits, rows, positions):
        return logits, rows, positions

    def fill(self, decoder, streams, constraints, rules, noise, samples):
        willing = [Unwilling(one, self.show) for one in rules]
        yield from super().fill(decoder, streams, constraints, willing, noise, samples)


class TupleOfRules(GumbelSampler):
    def rules(self, modality):
        return ()


class OtherRulesEachTime(GumbelSampler):
    asked = 0

    def rules(self, modality):
        self.asked += 1
        return [Flat()] * self.asked


class OtherProgress(GumbelSampler):
    def fill(self, decoder, streams, constraints, rules, noise, samples):
        for step in super().fill(decoder, streams, constraints, rules, noise, samples):
            yield self.progress(step)


class NeverFinished(OtherProgress):
    def progress(self, step):
        return replace(step, finished=(False,) * len(step.ids))


class FinishedTogether(OtherProgress):
    def progress(self, step):
        return replace(step, finished=(all(step.finished),) * len(step.ids))


class MorePassesThanMade(OtherProgress):
    def progress(self, step):
        return replace(step, passes=2 * step.passes)


class MoreDoneThanTotal(OtherProgress):
    def progress(self, step):
        return replace(step, total=4)


class OneBuffer(OtherProgress):
    def progress(self, step):
        if step.done == 1:
            self.buffer = [np.zeros(200, np.int64) for _ in step.ids]
        for buffer, ids in zip(self.buffer, step.ids, strict=True):
            buffer[: len(ids)] = ids[::-1]
        return replace(step, ids=tuple(buffer[: len(ids)][::-1] for buffer, ids in zip(self.buffer, step.ids, strict=True)))


class ChangesPrompts(GumbelSampler):
    def fill(self, decoder, streams, constraints, rules, noise, samples):
        yield from super().fill(decoder, streams, constraints, rules, noise, samples)
        for prompt in streams["conditional"]:
            prompt[-1] = 0


class ChangesRules(GumbelSampler):
    def fill(self, decoder, streams, constraints, rules, noise, samples):
        rules += [Flat()]
        yield from super().fill(decoder, streams, constraints, rules, noise, samples)


class WantsMoreRoom(GumbelSampler):
    def fill(self, decoder, streams, constraints, rules, noise, samples):
        for one in constraints:
            one.capacity += 8
        yield from super().fill(decoder, streams, constraints, rules, noise, samples)


class ForksHalfway(GumbelSampler):
    """Finds out that the decoder cannot fork when ids are drawn already."""

    def fill(self, decoder, streams, constraints, rules, noise, samples):
        for step in super().fill(decoder, streams, constraints, rules, noise, samples):
            yield step
            decoder.fork(decoder.start(streams["conditional"], 200), [0])


class KeepsRowsInItself(GumbelSampler):
    """A second fill takes over the decoder of the first."""

    decoder = None

    def fill(self, decoder, streams, constraints, rules, noise, samples):
        def start(prompts, capacity):
            self.state = decoder.start(prompts, capacity)
            return self.state

        held = SimpleNamespace(start=start, append=lambda _, ids, valid: decoder.append(self.state, ids, valid))
        yield from super().fill(held, streams, constraints, rules, noise, samples)


class UnmarkedOptions(Options):
    sharpness: int = Field(1, ge=1, le=9, description="How much likelier the likely ids get.")


class UnmarkedMeaning(GumbelSampler):
    Options = UnmarkedOptions

    def rules(self, modality):
        return [SharpenRule(SharpenOptions(power=self.options.sharpness))]


BROKEN = {
    TorchRand: "test_noise_is_the_only_chance",
    SeedsNumpy: "test_noise_is_the_only_chance",
    OneNoiseForAllPositions: "test_every_position_has_noise_of_its_own",
    OneNoiseForAllSamples: "test_draws_follow_the_distribution",
    SeedIgnored: "test_other_noise_gives_other_ids",
    Greedy: "test_draws_follow_the_distribution",
    TooHot: "test_draws_follow_the_distribution",
    InOrderOfBatch: "test_one_of_one_is_the_first_of_eight",
    OneGenerator: "test_rows_do_not_touch_each_other",
    Remembers: "test_one_of_one_is_the_first_of_eight",
    KnownCellsDrawnAnew: "test_holes_are_filled_as_their_constraints_say",
    AnyId: "test_holes_are_filled_as_their_constraints_say",
    TakesWhatLiesBetween: "test_holes_are_filled_as_their_constraints_say",
    ClosingForgotten: "test_holes_are_filled_as_their_constraints_say",
    StopsEarly: "test_holes_are_filled_as_their_constraints_say",
    GoesOnBehindTheEnd: "test_holes_are_filled_as_their_constraints_say",
    RulesIgnored: "test_the_rules_given_are_those_applied",
    OwnRules: "test_draws_follow_the_distribution",
    OnlyTheFirstRule: "test_the_rules_given_are_those_applied",
    ShowsPlaces: "test_rules_see_the_logits_of_the_allowed_ids",
    ShowsPositionsFromOne: "test_rules_see_the_logits_of_the_allowed_ids",
    ShowsOneStreamTwice: "test_rules_see_the_logits_of_the_allowed_ids",
    ShowsProbabilities: "test_rules_see_the_logits_of_the_allowed_ids",
    DoesWithoutStreams: "test_a_missing_stream_is_named",
    BlamesNobody: "test_a_missing_stream_is_named",
    DrawsFromNothing: "test_rules_that_leave_nothing_are_refused",
    TupleOfRules: "test_its_own_rules_are_rules",
    OtherRulesEachTime: "test_its_own_rules_are_rules",
    NeverFinished: "test_progress_tells_the_truth",
    FinishedTogether: "test_progress_tells_the_truth",
    MorePassesThanMade: "test_progress_tells_the_truth",
    MoreDoneThanTotal: "test_progress_tells_the_truth",
    OneBuffer: "test_progress_tells_the_truth",
    ChangesPrompts: "test_arguments_are_not_changed",
    ChangesRules: "test_arguments_are_not_changed",
    WantsMoreRoom: "test_a_hole_that_just_fits_is_filled",
    ForksHalfway: "test_a_decoder_without_capabilities_serves_or_is_refused",
    UnmarkedMeaning: "test_unmarked_options_change_nothing",
    KeepsRowsInItself: "test_two_fills_do_not_know_of_each_other",
}


@pytest.mark.parametrize("component", BROKEN, ids=lambda component: component.__name__)
def test_a_broken_sampler_is_caught(component: type[GumbelSampler]) -> None:
    assert_caught(SamplerContract, component, BROKEN[component])


@pytest.mark.parametrize("told", ["conditional,unconditional", "", 2])
def test_a_spec_that_tells_of_other_streams_is_caught(told):
    class Plugin:
        @staticmethod
        @hookimpl
        def calumma_components():
            target = "calumma.contracts.samples.sampler:GumbelSampler"
            yield ComponentSpec(
                "sampler", "gumbel/plain", "Draws.", target, "calumma.interfaces:Options", capabilities={"streams": told}
            )

    found = Catalog()
    found.add("gumbel", Plugin())

    class Tested(SamplerContract):
        component, catalog = "gumbel/plain", found

    outcomes = {one.name: one for one in run(Tested)}
    assert (
        f"it tells of {told!r}, and the small instance needs ['conditional']"
        in outcomes["test_the_spec_tells_its_streams"].found
    )
