"""What speculative Jacobi decoding does beside being exact: fewer passes, drafts that keep to constraints, rows apart."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from tests.decoding.tiny_model import Cells, QuickNoise, TinyDecoder, Words, drawn, exact

from calumma.contracts import filling
from calumma.contracts.samples.decoder import HashDecoder
from calumma.documents import Constraint, Image, tasks
from calumma.errors import ComponentError, FailedError
from calumma.interfaces import Noise, Rule
from calumma_plugins.sampling.contrast import Contrastive
from calumma_plugins.sampling.guidance import EditGuidance, Guidance
from calumma_plugins.sampling.jacobi import JacobiSampler
from calumma_plugins.sampling.nucleus import NucleusSampler
from calumma_plugins.sampling.options import (
    ContrastiveOptions,
    EditGuidanceOptions,
    GuidanceOptions,
    JacobiOptions,
    NucleusOptions,
    TopPOptions,
)
from calumma_plugins.sampling.rules import TopP

GUIDED = [Guidance(GuidanceOptions(weight=2)), TopP(TopPOptions(p=0.95))]
EVERY_RULE: list[list[Rule]] = [
    [],
    GUIDED,
    [Contrastive(ContrastiveOptions(k=3))],
    [EditGuidance(EditGuidanceOptions(image_weight=1.2, text_weight=2))],
]


def jacobi(**options: object) -> JacobiSampler:
    return JacobiSampler(JacobiOptions.model_validate(options))


class Watching(TinyDecoder):
    """Remembers what it is fed."""

    def __init__(self) -> None:
        super().__init__()
        self.fed: list[tuple[list[list[int]], list[int]]] = []

    def append(self, state, ids, valid):
        self.fed.append((ids.tolist(), valid.tolist()))
        return super().append(state, ids, valid)


class Steady(TinyDecoder):
    """Says the same whatever came before: every draft is right."""

    def __init__(self) -> None:
        super().__init__()
        self.table = self.table[:1].expand(len(self.table), -1).clone()


class Long(Cells):
    capacity = 12

    def allowed(self, offset, previous):
        return self.ids if offset < self.capacity else None


@pytest.mark.parametrize("rules", EVERY_RULE, ids=["none", "guided", "contrastive", "edited"])
@pytest.mark.parametrize("constraint", [Cells(), Words()])
def test_a_window_of_one_draws_what_nucleus_draws(constraint: Constraint, rules: list[Rule]) -> None:
    plain = drawn(NucleusSampler(NucleusOptions()), TinyDecoder(), constraint, rules, range(40))
    assert drawn(jacobi(window=1), TinyDecoder(), constraint, rules, range(40)) == plain


@pytest.mark.parametrize("coupled", [False, True])
def test_it_takes_fewer_passes_and_counts_every_one(coupled: bool) -> None:
    decoder = Watching()
    prompts = {"conditional": [np.array([6])] * 4}
    steps = list(jacobi(coupled=coupled, window=4).fill(decoder, prompts, [Long()] * 4, [], Noise(0), range(4)))
    assert [step.passes for step in steps] == list(range(1, len(steps) + 1))
    assert steps[-1].passes == len(decoder.fed)
    assert steps[-1].passes <= 12
    assert max(valid for _, counts in decoder.fed for valid in counts) == 4


@pytest.mark.parametrize("window", [2, 4, 12])
def test_drafts_that_are_right_are_taken_window_by_window(window: int) -> None:
    """Once the drafts come from the only distribution there is, each pass makes `window` ids final."""
    prompts = {"conditional": [np.array([6])]}
    *_, last = jacobi(window=window).fill(Steady(), prompts, [Long()], [], Noise(0), [0])
    assert last.passes <= -(-12 // window) + 3


def test_greedy_drafts_end_in_the_greedy_row() -> None:
    greedy = {"temperature": 0.0, "guidance": 1.0, "top_p": 1.0}
    plain, fast = NucleusSampler(NucleusOptions(**greedy)), jacobi(**greedy)
    wanted = drawn(plain, TinyDecoder(), Long(), plain.rules("image"), [0])
    assert drawn(fast, TinyDecoder(), Long(), fast.rules("image"), [0]) == wanted


@pytest.mark.parametrize("coupled", [False, True])
@pytest.mark.parametrize("rules", EVERY_RULE, ids=["none", "guided", "contrastive", "edited"])
def test_nothing_outside_the_constraint_is_drawn_or_drafted(rules: list[Rule], coupled: bool) -> None:
    decoder, constraint = Watching(), Words()
    possible = set(exact(TinyDecoder(), constraint, rules))
    rows = drawn(jacobi(coupled=coupled, window=3), decoder, constraint, rules, range(300))
    assert set(rows) <= possible
    for ids, valid in decoder.fed[1:]:
        for row, count in zip(ids, valid, strict=True):
            assert count >= 1
            for before, after in itertools.pairwise(row[:count]):
                assert after == 0 or after in constraint.allowed(2, [before])


def test_a_row_is_the_same_alone_and_beside_others() -> None:
    together = drawn(jacobi(), TinyDecoder(), Words(), GUIDED, [5, 1, 8, 2, 9], seed=4)
    for sample, row in zip([5, 1, 8, 2, 9], together, strict=True):
        assert drawn(jacobi(), TinyDecoder(), Words(), GUIDED, [sample], seed=4) == [row]
    assert len({len(row) for row in together}) > 1


def test_known_cells_between_drafts_come_back() -> None:
    known = Image(tokens={filling._tokenizer().fingerprint(): np.arange(16).reshape(4, 4) % 8})
    masked = np.zeros((4, 4), bool)
    masked[0, 0] = masked[1, :3] = masked[3, 1] = True
    (row,) = filling.drawn(filling.fill(jacobi(), [tasks.infill(known, masked, "x")], [0]))
    span = masked.reshape(-1)[:14]  # from the first to the last cell to be drawn; then comes the id that closes it
    assert [row[i] for i in np.flatnonzero(~span)] == [256 + i % 8 for i in np.flatnonzero(~span)]
    assert len(row) == 15


def test_a_decoder_that_cannot_rewind_is_refused_with_what_to_pick() -> None:
    steps = filling.fill(jacobi(), filling.pictures()[:1], [0], decoder=filling.BareDecoder(filling.DECODER))
    with pytest.raises(ComponentError, match=r"cannot rewind\. Pick .* sampling/nucleus"):
        next(steps)


def test_rules_that_leave_nothing_and_streams_that_are_missing_are_named() -> None:
    prompts, nothing = {"conditional": [np.array([6])]}, filling.Nothing(-torch.inf)
    with pytest.raises(FailedError, match="left no id to draw"):
        list(jacobi().fill(TinyDecoder(), prompts, [Cells()], [nothing], Noise(0), [0]))
    with pytest.raises(ComponentError, match="sampling/guidance needs the stream 'unconditional'"):
        list(jacobi().fill(TinyDecoder(), prompts, [Cells()], GUIDED, Noise(0), [0]))


def test_it_takes_the_options_of_nucleus() -> None:
    given = {"guidance": 7.0, "temperature": 2.0, "top_k": 3, "text_top_p": 0.5}
    for modality in ("image", "text"):
        told = [(rule.id, rule.options) for rule in jacobi(**given).rules(modality)]
        assert told == [(rule.id, rule.options) for rule in NucleusSampler(NucleusOptions(**given)).rules(modality)]


def test_a_hole_is_fed_no_id_that_nothing_follows() -> None:
    decoder = filling.CountingDecoder(filling.DECODER)
    *_, last = filling.fill(jacobi(), [filling.one_cell()], [0], decoder=decoder)
    assert last.passes == 1
    assert isinstance(decoder, HashDecoder)


def test_quick_noise_is_even() -> None:
    found = np.array([QuickNoise(0).uniform(sample, 1, 2, 1) for sample in range(4000)])
    assert abs(found.mean() - 0.5) < 0.02
    assert abs(np.corrcoef(found.T)[0, 1]) < 0.05
