from __future__ import annotations

import pytest
import torch
from pydantic import Field
from tests.contracts.breaking import assert_caught

from calumma.contracts import RuleContract
from calumma.contracts.samples.rule import SharpenRule
from calumma.interfaces import Options


class TestSharpen(RuleContract):
    component = SharpenRule


class TestGuidance(RuleContract):
    component = "sampling/guidance"


class TestGuidanceThatIsOff(RuleContract):
    component = "sampling/guidance"
    options = {"weight": 1}


class TestTemperature(RuleContract):
    component = "sampling/temperature"
    options = {"temperature": 0.7}


class TestGreedy(RuleContract):
    component = "sampling/temperature"
    options = {"temperature": 0}


class TestTopK(RuleContract):
    component = "sampling/top-k"
    options = {"k": 3}


class TestTopP(RuleContract):
    component = "sampling/top-p"


class TestMinP(RuleContract):
    component = "sampling/min-p"


class TestScheduledGuidance(RuleContract):
    component = "sampling/scheduled-guidance"
    options = {"length": 8}


class TestScheduledGuidanceOfAnInterval(RuleContract):
    component = "sampling/scheduled-guidance"
    options = {"schedule": "constant", "begin": 1, "end": 3}


class TestEditGuidance(RuleContract):
    component = "sampling/edit-guidance"


class TestEditGuidanceByTheTextAlone(RuleContract):
    component = "sampling/edit-guidance"
    options = {"image_weight": 1}


class TestContrastive(RuleContract):
    component = "sampling/contrastive"


class TestCDK(RuleContract):
    component = "sampling/contrastive"
    options = {"k": 4}


# --- broken on purpose ---


class NormalisesInPlace(SharpenRule):
    def __call__(self, logits, rows, positions):
        scores = logits["conditional"]
        scores -= scores.logsumexp(1, keepdim=True)
        return scores


class ReplacesTheStream(SharpenRule):
    def __call__(self, logits, rows, positions):
        logits["conditional"] = logits["conditional"] * 2
        return logits["conditional"]


class CountsPositions(SharpenRule):
    def __call__(self, logits, rows, positions):
        positions += 1
        return logits["conditional"]


class RevivesWhatIsOut(SharpenRule):
    def __call__(self, logits, rows, positions):
        return logits["conditional"].clamp(min=-100)


class NaNWhereItIsOut(SharpenRule):
    def __call__(self, logits, rows, positions):
        return logits["conditional"] * 0


class MixesRows(SharpenRule):
    def __call__(self, logits, rows, positions):
        scores = logits["conditional"]
        return scores - scores.masked_fill(scores == -torch.inf, 0).mean(0, keepdim=True)


class LooksAtItsPlace(SharpenRule):
    def __call__(self, logits, rows, positions):
        return logits["conditional"] * torch.arange(1, len(rows) + 1)[:, None]


class RulesOutTies(SharpenRule):
    """Keeps what is more likely than the second likeliest."""

    def __call__(self, logits, rows, positions):
        scores = logits["conditional"]
        second = scores.topk(min(2, scores.shape[1])).values[:, -1:]
        return scores.masked_fill(scores <= second, -torch.inf)


class Overflows(SharpenRule):
    def __call__(self, logits, rows, positions):
        return logits["conditional"].exp()


class NeedsTwoIds(SharpenRule):
    def __call__(self, logits, rows, positions):
        scores = logits["conditional"]
        return scores - scores.topk(2).values[:, 1:]


class DropsARow(SharpenRule):
    def __call__(self, logits, rows, positions):
        return logits["conditional"][:4]


class DoublePrecision(SharpenRule):
    def __call__(self, logits, rows, positions):
        return logits["conditional"].double()


class ReturnsNumpy(SharpenRule):
    def __call__(self, logits, rows, positions):
        return logits["conditional"].numpy()


class Random(SharpenRule):
    def __call__(self, logits, rows, positions):
        return logits["conditional"] + torch.rand(1)


class CountsItsCalls(SharpenRule):
    calls = 0

    def __call__(self, logits, rows, positions):
        self.calls += 1
        return logits["conditional"] * (1 + 1 / self.calls)


class DoesNotDeclare(SharpenRule):
    def __call__(self, logits, rows, positions):
        return 2 * logits["conditional"] - logits["unconditional"]


class TakesWhatIsThere(SharpenRule):
    def __call__(self, logits, rows, positions):
        return torch.stack(list(logits.values())).mean(0)


class ListOfStreams(SharpenRule):
    streams = ["conditional"]


class DivisorOptions(Options):
    power: float = Field(2.0, ge=0, le=8, description="What logits are divided by.", json_schema_extra={"meaning": True})


class LeavesNothingAtZero(SharpenRule):
    Options = DivisorOptions

    def __call__(self, logits, rows, positions):
        return logits["conditional"] / self.options.power


class UnmarkedOptions(Options):
    power: float = Field(2.0, ge=1, le=8, description="What logits are multiplied by.")


class UnmarkedMeaning(SharpenRule):
    Options = UnmarkedOptions

    def __call__(self, logits, rows, positions):
        return logits["conditional"] * self.options.power


class Unbounded(Options):
    power: float = Field(2.0, description="Any number.")


class OptionsWithoutBounds(SharpenRule):
    Options = Unbounded


BROKEN = {
    NormalisesInPlace: "test_arguments_are_not_changed",
    ReplacesTheStream: "test_arguments_are_not_changed",
    CountsPositions: "test_arguments_are_not_changed",
    RevivesWhatIsOut: "test_what_is_ruled_out_stays_out",
    NaNWhereItIsOut: "test_something_is_left_in_every_row",
    MixesRows: "test_rows_do_not_touch_each_other",
    LooksAtItsPlace: "test_rows_do_not_touch_each_other",
    RulesOutTies: "test_something_is_left_in_every_row",
    Overflows: "test_something_is_left_in_every_row",
    NeedsTwoIds: "test_it_returns_float32_of_the_same_shape",
    DropsARow: "test_it_returns_float32_of_the_same_shape",
    DoublePrecision: "test_it_returns_float32_of_the_same_shape",
    ReturnsNumpy: "test_it_returns_float32_of_the_same_shape",
    Random: "test_it_is_pure",
    CountsItsCalls: "test_it_is_pure",
    DoesNotDeclare: "test_it_needs_the_streams_it_declares",
    TakesWhatIsThere: "test_it_needs_the_streams_it_declares",
    ListOfStreams: "test_it_needs_the_streams_it_declares",
    LeavesNothingAtZero: "test_something_is_left_at_the_bounds_of_its_options",
    UnmarkedMeaning: "test_unmarked_options_change_nothing",
    OptionsWithoutBounds: "test_options_are_described_and_bounded",
}


@pytest.mark.parametrize("component", BROKEN, ids=lambda component: component.__name__)
def test_a_broken_rule_is_caught(component: type[SharpenRule]) -> None:
    assert_caught(RuleContract, component, BROKEN[component])
