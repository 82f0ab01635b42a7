"""The contract of samplers: ids that are allowed, drawn as the rules say, from the noise and the row alone."""

from __future__ import annotations

import copy
import functools
import math
import random
from typing import get_args

import numpy as np
import torch

from calumma.contracts import filling
from calumma.contracts.contract import Contract, rule
from calumma.contracts.filling import drawn, fill, layout
from calumma.contracts.samples.decoder import HashDecoder
from calumma.documents import CONDITIONAL, UNCONDITIONAL, Modality
from calumma.errors import CalummaError, ComponentError
from calumma.interfaces import Noise, Progress, Rule, Sampler

SURE = math.log(1e9)  # chance has a correct sampler refused once in 10**9


class SamplerContract(Contract[Sampler]):
    """What a sampler keeps, over a decoder whose logits are a hash of the whole row.

    >>> class TestMine(SamplerContract):
    ...     component = "mine/sampler"
    """

    kind = "sampler"

    # --- what it draws ---

    @rule
    def test_holes_are_filled_as_their_constraints_say(self) -> None:
        """Every id is one that is allowed there, known ids included; a hole ends where its constraint says, and not before."""
        sampler = self.make()
        for documents, constraints in filling.holes():
            for rules in (None, [], [filling.Closing()]):
                rows = drawn(fill(sampler, documents, range(4), rules, constraints=constraints))
                for document, constraint, ids in zip(documents, constraints, rows, strict=True):
                    for offset, id in enumerate(ids):
                        allowed = constraint.allowed(offset, ids[:offset])
                        assert allowed is not None, f"it drew {len(ids)} ids for a hole that was complete after {offset}."
                        assert id in allowed, f"it drew {id} at {offset}, where {allowed[:9].tolist()} are allowed (or more)."
                    assert constraint.allowed(len(ids), ids) is None, f"it stopped after {len(ids)} ids of {document.parts}."

    @rule
    def test_draws_follow_the_distribution(self) -> None:
        """Without rules an id is drawn as often as the softmax of the allowed logits says."""
        document, n = filling.one_cell(), 1000
        rows = drawn(fill(self.make(), [document] * n, range(n)))
        counts = np.bincount([row[0] for row in rows], minlength=filling.DECODER.vocabulary_size)
        allowed = np.arange(256, 256 + filling.CODES)
        prompt = filling.prompts([document], [CONDITIONAL])[CONDITIONAL]
        logits = HashDecoder(filling.DECODER).start(prompt, 200).logits[0, torch.from_numpy(allowed)]
        distance = float(np.abs(counts[allowed] / n - logits.double().softmax(0).numpy()).sum()) / 2
        bound = math.sqrt(filling.CODES / n) / 2 + math.sqrt(SURE / (2 * n))  # McDiarmid 1989, on the total variation
        assert distance <= bound, f"in {n} draws the distributions are {distance:.2f} apart; chance explains {bound:.2f}."

    @rule
    def test_every_position_has_noise_of_its_own(self) -> None:
        """Draws at two positions of one hole are independent."""
        n = 60
        rows = np.array(drawn(fill(self.make(), filling.pictures()[:1] * n, range(n), [filling.Flat()])))
        equal = float((rows[:, 1:] == rows[:, :-1]).mean())
        bound = math.sqrt(SURE / (2 * n * 15))  # Hoeffding 1963
        gap = abs(equal - 1 / filling.CODES)
        assert gap <= bound, f"of neighbours that are drawn evenly from 8 ids {equal:.0%} are equal, not an eighth."

    # --- what it depends on ---

    @rule
    def test_one_of_one_is_the_first_of_eight(self) -> None:
        """The same noise and sample index give the same ids, in a batch of any size and order."""
        sampler, document = self.make(), filling.pictures()[0]
        eight = drawn(fill(sampler, [document] * 8, range(8)))
        for samples in ([0], [5, 2], list(range(8))[::-1]):
            rows = drawn(fill(sampler, [document] * len(samples), samples))
            assert rows == [eight[i] for i in samples], f"the samples {samples} are others than among all eight."

    @rule
    def test_rows_do_not_touch_each_other(self) -> None:
        """A row is what it is alone, beside holes of other prompts and lengths, some of which end before it."""
        sampler = self.make()
        for documents in (filling.pictures(), filling.texts()):
            for order in ([0, 1, 2, 3], [3, 1, 0, 2]):
                rows = drawn(fill(sampler, [documents[i] for i in order], order, [filling.Closing()]))
                for i, together in zip(order, rows, strict=True):
                    alone = drawn(fill(sampler, [documents[i]], [i], [filling.Closing()]))[0]
                    assert together == alone, f"sample {i} is {together} beside others and {alone} alone."

    @rule
    def test_other_noise_gives_other_ids(self) -> None:
        """Another seed gives other ids, and so does another sample index."""
        sampler, document = self.make(), filling.pictures()[0]
        first, second = drawn(fill(sampler, [document] * 2, [0, 1], [filling.Flat()]))
        assert first != second, "the samples 0 and 1 are the same."
        assert drawn(fill(sampler, [document], [0], [filling.Flat()], seed=1)) != [first], "the seeds 0 and 1 give the same."

    @rule
    def test_unmarked_options_change_nothing(self) -> None:
        """An option that is not marked as changing meaning changes no id."""
        sampler = self.make()
        for documents in (filling.pictures(), filling.texts()):
            wanted = drawn(fill(sampler, documents, range(4), None))
            for change, other in self.unmarked(sampler):
                assert drawn(fill(other, documents, range(4), None)) == wanted, f"with {change} the ids are others."

    @rule
    def test_noise_is_the_only_chance(self) -> None:
        """It neither uses nor disturbs the global generators of random, numpy and torch."""
        sampler, document = self.make(), filling.pictures()[0]
        held = random.getstate(), np.random.get_state(), torch.get_rng_state()
        try:
            rows = []
            for seed in (1, 2):
                _seed(seed)
                wanted = _next_numbers()
                _seed(seed)
                rows.append(drawn(fill(sampler, [document], [0])))
                assert _next_numbers() == wanted, "it took numbers from one of them, or seeded it."
            assert rows[0] == rows[1], "when they are seeded otherwise it draws other ids."
        finally:
            random.setstate(held[0])
            np.random.set_state(held[1])
            torch.set_rng_state(held[2])

    @rule
    def test_two_fills_do_not_know_of_each_other(self) -> None:
        """Two fills of one sampler, advanced in turn, draw what each draws alone."""
        sampler, documents = self.make(), filling.texts()[1:3]
        alone = [drawn(fill(sampler, [document], [0])) for document in documents]
        last: dict[int, Progress] = {}
        running = {i: fill(sampler, [document], [0]) for i, document in enumerate(documents)}
        while running:
            for i in list(running):
                step = next(running[i], None)
                if step is None:
                    del running[i]
                else:
                    last[i] = step
        assert [[last[i].ids[0].tolist()] for i in range(2)] == alone, "they draw other ids together."

    # --- rules ---

    @rule
    def test_its_own_rules_are_rules(self) -> None:
        """rules(modality) is a list of Rules, and of the same ones each time."""
        sampler = self.make()
        for modality in get_args(Modality):
            rules = sampler.rules(modality)
            assert isinstance(rules, list), f"rules({modality!r}) gave a {type(rules).__name__}."
            for one in rules:
                assert isinstance(one, Rule), f"rules({modality!r}) holds {one!r}."
            again = [one.fingerprint() for one in sampler.rules(modality)]
            assert again == [one.fingerprint() for one in rules], f"asked again, rules({modality!r}) holds {again}."

    @rule
    def test_the_rules_given_are_those_applied(self) -> None:
        """fill applies the rules that it is given, in order, and the last has the last word."""
        sampler, documents, only = self.make(), filling.pictures()[:1] * 2, filling.Only()
        for rules in ([only], [filling.Flat(), only], [*sampler.rules("image"), only]):
            (first, second) = drawn(fill(sampler, documents, [7, 9], rules))
            obeyed = len(first) == 16 and {*first, *second} == {256 + only.column}
            assert obeyed, f"under a rule that leaves {256 + only.column} it drew {first}."

    @rule
    def test_rules_see_the_logits_of_the_allowed_ids(self) -> None:
        """Rules see the decoder's logits of the allowed ids, and as "conditional" what the rule before them gave."""
        decoder, samples, spy = HashDecoder(filling.DECODER), [7, 9, 3, 4], filling.Spy()
        for documents, constraints in filling.holes():
            spy.seen.clear()
            steps = fill(self.make(), documents, samples, [filling.Closing(), spy], decoder=decoder, constraints=constraints)
            rows, streams = drawn(steps), filling.prompts(documents, [CONDITIONAL, UNCONDITIONAL])
            for row, (constraint, sample) in enumerate(zip(constraints, samples, strict=True)):
                for offset in range(len(rows[row])):
                    allowed = constraint.allowed(offset, rows[row][:offset])
                    if allowed is None or len(allowed) == 1:
                        continue
                    columns, wanted = torch.from_numpy(allowed.copy()), dict[str, torch.Tensor]()
                    for name, told in streams.items():
                        ids = np.append(told[row], np.array(rows[row][:offset], np.int64))
                        wanted[name] = decoder.start([ids], len(ids)).logits[:, columns]
                    place = np.array([sample]), np.array([offset])
                    wanted[CONDITIONAL] = filling.Closing()(wanted, *place)
                    assert spy.saw(sample, offset, wanted), f"no rule saw those of sample {sample} at position {offset}."

    @rule
    def test_a_missing_stream_is_named(self) -> None:
        """A rule that needs a stream which is not there is refused with a CalummaError that names the stream."""
        documents, rules = filling.pictures()[:1], [filling.PlainRule()]
        streams, constraints = filling.prompts(documents, [CONDITIONAL]), [layout().constraint(documents[0])]
        decoder, sampler = HashDecoder(filling.DECODER), self.make()
        error = self.refused(
            lambda: list(sampler.fill(decoder, streams, constraints, rules, Noise(0), [0])), "Filling without it", CalummaError
        )
        assert UNCONDITIONAL in error.message, f"it said: {error.message}"

    @rule
    def test_rules_that_leave_nothing_are_refused(self) -> None:
        """Where rules leave no id, or scores that are not numbers, it raises a CalummaError instead of drawing."""
        sampler, documents = self.make(), filling.pictures()[:2]
        for score in (-math.inf, math.nan):
            steps = fill(sampler, documents, [0, 1], [filling.Nothing(score)])
            self.refused(functools.partial(list, steps), f"A rule that makes every score {score}", CalummaError)

    @rule
    def test_the_spec_tells_its_streams(self) -> None:
        """Where the spec tells of streams, they are those that its rules need, in a list with commas."""
        sampler, spec = self.make(), self.spec()
        told = spec.capabilities.get("streams") if spec else None
        if told is not None:
            needed = {CONDITIONAL}.union(*(one.streams for modality in get_args(Modality) for one in sampler.rules(modality)))
            assert told == ",".join(sorted(needed)), f"it tells of {told!r}, and the small instance needs {sorted(needed)}."

    # --- what it says, and how it treats what it is given ---

    @rule
    def test_progress_tells_the_truth(self) -> None:
        """Progress counts every pass, rows only grow, finished rows are complete, and the last has all of them finished."""
        for documents in (filling.pictures(), filling.texts()):
            decoder, constraints = filling.CountingDecoder(filling.DECODER), [layout().constraint(one) for one in documents]
            before, kept = None, list[list[list[int]]]()
            steps = []
            for step in fill(self.make(), documents, range(4), [filling.Closing()], decoder=decoder):
                rows = [ids.tolist() for ids in step.ids]
                steps.append(step)
                kept.append(rows)
                assert all(ids.dtype == np.int64 for ids in step.ids), f"ids are {step.ids[0].dtype}."
                complete = tuple(one.allowed(len(row), row) is None for one, row in zip(constraints, rows, strict=True))
                assert tuple(step.finished) == complete, f"finished is {step.finished} and should be {complete}."
                assert step.passes == decoder.calls, f"passes is {step.passes} after {decoder.calls} of start and append."
                assert 1 <= step.done <= step.total, f"{step.done} steps of {step.total} are done."
                if before is not None:
                    assert before.done < step.done, f"done was {before.done} and became {step.done}."
                    for old, new in zip(kept[-2], rows, strict=True):
                        assert new[: len(old)] == old, f"a row was {old} and became {new}."
                before = step
            assert before is not None, "it yielded nothing."
            assert all(before.finished), f"at the end finished is {before.finished}."
            assert [[ids.tolist() for ids in step.ids] for step in steps] == kept, "ids that were handed out changed later."

    @rule
    def test_arguments_are_not_changed(self) -> None:
        """Prompts, rules and samples are as they were."""
        documents, rules, samples = filling.pictures(), [filling.Closing(), filling.PlainRule()], [3, 1, 2, 0]
        streams, constraints = (
            filling.prompts(documents, [CONDITIONAL, UNCONDITIONAL]),
            [layout().constraint(one) for one in documents],
        )
        given, held = copy.deepcopy(streams), (list(rules), list(samples), list(constraints))
        list(self.make().fill(HashDecoder(filling.DECODER), given, constraints, rules, Noise(0), samples))
        assert (rules, samples, constraints) == held, "a list that it was given changed."
        for name, prompts in streams.items():
            for old, new in zip(prompts, given[name], strict=True):
                assert new.tolist() == old.tolist(), f"a prompt of {name} became {new.tolist()}."

    @rule
    def test_a_hole_that_just_fits_is_filled(self) -> None:
        """It asks the decoder for no more room than prompt and hole take."""
        document = filling.pictures()[0]
        prompt = filling.prompts([document], [CONDITIONAL])[CONDITIONAL][0]
        options = filling.DECODER.model_copy(update={"context": len(prompt) + 16})
        assert len(drawn(fill(self.make(), [document], [0], decoder=HashDecoder(options)))[0]) == 16, "it drew fewer ids."

    @rule
    def test_a_decoder_without_capabilities_serves_or_is_refused(self) -> None:
        """A decoder that can neither fork nor rewind gives the same ids, or is refused with ComponentError before any draw."""
        for documents in (filling.pictures(), filling.texts()):
            wanted = drawn(fill(self.make(), documents, range(4), [filling.Closing()]))
            steps = fill(self.make(), documents, range(4), [filling.Closing()], decoder=filling.BareDecoder(filling.DECODER))
            try:
                first = next(steps)
            except ComponentError:
                continue
            last = [first, *steps][-1]
            assert [ids.tolist() for ids in last.ids] == wanted, "it draws other ids."


def _next_numbers() -> tuple[float, float, float]:
    """What the global generators of random, numpy and torch give next."""
    return random.random(), float(np.random.random()), float(torch.rand(()))


def _seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
