"""The contract of rules: pure steps from logits to logits, row by row, that always leave something to draw."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError

from calumma.contracts.contract import Contract, rule
from calumma.documents import CONDITIONAL
from calumma.interfaces import Rule

OUT = -torch.inf
ROWS = np.array([4, 0, 9, 2, 7])
POSITIONS = np.array([0, 3, 1, 15, 2])


class RuleContract(Contract[Rule]):
    """What a rule keeps.

    >>> class TestMine(RuleContract):
    ...     component = "mine/rule"
    """

    kind = "rule"

    # --- what it returns ---

    @rule
    def test_it_returns_float32_of_the_same_shape(self) -> None:
        """It returns float32 [R, V] for every R and V, one of each included."""
        one = self.make()
        for rows, width in ((5, 12), (1, 12), (5, 1), (1, 1), (2, 300)):
            given = self.logits(one, torch.randn(rows, width, generator=_generator()))
            got = _call(one, given, list(range(rows)))
            assert isinstance(got, torch.Tensor), f"it returned {got!r}."
            assert got.dtype == torch.float32, f"it returned {got.dtype}."
            assert tuple(got.shape) == (rows, width), f"it returned {list(got.shape)} for [{rows}, {width}]."

    @rule
    def test_something_is_left_in_every_row(self) -> None:
        """It never rules out everything, nor returns NaN or +inf: with ties, huge and tiny logits, and one id left, too."""
        one = self.make()
        for what, scores in _scores():
            self.leaves_something(one, scores, what)

    @rule
    def test_something_is_left_at_the_bounds_of_its_options(self) -> None:
        """With each option at the ends of its range it leaves something, too."""
        for change in self.ends():
            one = self.make(**change)
            for what, scores in _scores():
                self.leaves_something(one, scores, f"{what} and {change}")

    @rule
    def test_what_is_ruled_out_stays_out(self) -> None:
        """An id that an earlier rule ruled out (-inf) stays at -inf."""
        one = self.make()
        for what, scores in _scores():
            revived = (self.applied(one, scores) != OUT) & (scores == OUT)
            assert not bool(revived.any()), f"with {what} it gave {int(revived.sum())} of them a chance again."

    # --- what it depends on ---

    @rule
    def test_rows_do_not_touch_each_other(self) -> None:
        """What it returns for a row depends on that row alone, in any order."""
        one = self.make()
        for what, scores in _scores():
            given = self.logits(one, scores)
            together = _call(one, given)
            for index in ([0], [1], [2], [3], [4], [4, 2, 0, 1, 3]):
                some = _call(one, {name: each[index] for name, each in given.items()}, index)
                same = torch.allclose(some, together[index], rtol=1e-5, atol=1e-6)
                assert same, f"with {what} the rows {index} are others by themselves."

    @rule
    def test_it_is_pure(self) -> None:
        """The same logits give the same result again, after other work, and in another instance of the same options."""
        options = self.small()
        one, twin = self._built(options), self._built(options)
        assert isinstance(one, Rule)
        assert isinstance(twin, Rule)
        one.warm_up()
        twin.warm_up()
        cases = list(_scores())
        first = [self.applied(one, scores).clone() for _, scores in cases]
        for told, again in (("asked again", one), ("in another instance", twin)):
            for (what, scores), wanted in zip(cases, first, strict=True):
                assert torch.equal(self.applied(again, scores), wanted), f"with {what}, {told}, it gave another result."

    @rule
    def test_unmarked_options_change_nothing(self) -> None:
        """An option that is not marked as changing meaning changes no logit."""
        one = self.make()
        for change, other in self.unmarked(one):
            for what, scores in _scores():
                held = self.applied(one, scores)
                assert torch.equal(self.applied(other, scores), held), f"with {change} and {what} the result is another."

    @rule
    def test_it_needs_the_streams_it_declares(self) -> None:
        """It works with "conditional" and its `streams`, and others beside them change nothing."""
        one = self.make()
        assert isinstance(one.streams, frozenset), f"streams is {one.streams!r}, no frozenset."
        assert all(isinstance(name, str) for name in one.streams), f"streams is {one.streams!r}."
        scores = torch.randn(5, 12, generator=_generator())
        given = self.logits(one, scores)
        wanted = _call(one, given)
        more = _call(one, {**given, "another": scores.flip(1)})
        assert torch.equal(wanted, more), "a stream that it does not declare changed the result."

    @rule
    def test_arguments_are_not_changed(self) -> None:
        """Logits, rows and positions are as they were, and a part of a larger tensor is treated as its copy is."""
        one = self.make()
        whole = {name: each.clone() for name, each in self.logits(one, torch.randn(5, 20, generator=_generator())).items()}
        parts = {name: each[:, 4:16] for name, each in whole.items()}
        held, given = {name: each.clone() for name, each in whole.items()}, dict(parts)
        rows, positions = ROWS.copy(), POSITIONS.copy()
        got = one(parts, rows, positions)
        same = parts.keys() == given.keys() and all(parts[name] is given[name] for name in given)
        assert same, "it put other tensors into the mapping of streams."
        for name, each in whole.items():
            assert torch.equal(each, held[name]), f"it wrote into the logits of {name}."
        assert np.array_equal(rows, ROWS), f"rows became {rows.tolist()}."
        assert np.array_equal(positions, POSITIONS), f"positions became {positions.tolist()}."
        compact = _call(one, {name: each[:, 4:16].clone() for name, each in held.items()})
        assert torch.allclose(got, compact, rtol=1e-5, atol=1e-6), "a part of a larger tensor has another result than its copy."

    # --- what the rules are written with ---

    def logits(self, one: Rule, conditional: torch.Tensor) -> dict[str, torch.Tensor]:
        """The logits of all streams that a rule names, from those of "conditional"."""
        draw, names = _generator(1), sorted(one.streams - {CONDITIONAL})
        others = {name: 3 * torch.randn(conditional.shape, generator=draw) for name in names}
        return {CONDITIONAL: conditional.clone(), **others}

    def applied(self, one: Rule, conditional: torch.Tensor) -> torch.Tensor:
        """What it makes of five rows."""
        return _call(one, self.logits(one, conditional))

    def leaves_something(self, one: Rule, scores: torch.Tensor, what: str) -> None:
        """Fails where a row is nothing that can be drawn from."""
        got = self.applied(one, scores)
        assert not bool(torch.isnan(got).any()), f"with {what} it returned NaN."
        assert not bool((got == torch.inf).any()), f"with {what} it returned +inf."
        empty = (~torch.isfinite(got).any(1)).nonzero().flatten().tolist()
        assert not empty, f"with {what} nothing is left in the rows {empty}."

    def ends(self) -> Iterator[dict[str, Any]]:
        """{option: the least or the most that it takes}, where the other options allow it."""
        cls, small = self._options_class(), self.small()
        for name, field in cls.model_json_schema().get("properties", {}).items():
            for one in (field, *field.get("anyOf", ())):
                step = 1 if one.get("type") == "integer" else 1e-6
                for bound, inward in (("minimum", 0), ("exclusiveMinimum", step), ("maximum", 0), ("exclusiveMaximum", -step)):
                    if bound not in one:
                        continue
                    change = {name: one[bound] + inward}
                    try:
                        cls.model_validate({**small, **change})
                    except ValidationError:
                        continue
                    yield change


def _call(one: Rule, logits: Mapping[str, torch.Tensor], index: Sequence[int] = range(5)) -> torch.Tensor:
    """What a rule makes of the rows `index`, given copies of where they stand."""
    return one(logits, ROWS[list(index)], POSITIONS[list(index)])


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _scores() -> Iterator[tuple[str, torch.Tensor]]:
    """(what it is, float32 [5, V]) of every sort of logits that a rule meets."""
    plain = 3 * torch.randn(5, 12, generator=_generator())
    yield "ordinary logits", plain
    yield "ties", plain.round().clamp(-2, 2)
    yield "all logits equal", torch.zeros(5, 12)
    huge = plain.clone()
    huge[0, 3], huge[1, 4], huge[2] = 1e6, -1e6, -1e6
    yield "huge logits", huge
    few = plain.masked_fill(torch.rand(5, 12, generator=_generator()) < 0.6, OUT)
    few[:, 5] = plain[:, 5]
    yield "ids that are ruled out", few
    left = torch.full((5, 12), OUT)
    left[range(5), [0, 11, 3, 7, 5]] = torch.tensor([-50.0, 0.0, 1.0, 2.0, 90.0])
    yield "one id left", left
    yield "one id", torch.tensor([[0.0], [-7.0], [1e6], [-1e6], [3.0]])
