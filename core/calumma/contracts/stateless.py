"""Rules of components that are functions of their input: what they answer depends on nothing else."""

from __future__ import annotations

import random
import shutil
from abc import abstractmethod
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from calumma.contracts.contract import Contract, rule
from calumma.interfaces import Component

C = TypeVar("C", bound=Component)
Answers = Sequence[npt.NDArray[np.generic] | list[int] | str]


class StatelessContract(Contract[C]):
    """Adds determinism to the rules of every component; a kind says what is asked, by `answers`."""

    @abstractmethod
    def answers(self, component: C, seed: int = 0) -> Answers:
        """What the component answers to questions that depend on the seed alone; arrays share the memory of what it gave."""

    @rule
    def test_the_same_input_gives_the_same_answer(self) -> None:
        """The same input gives the same answer, bit for bit, whatever was asked in between."""
        component = self.make()
        first = _copied(self.answers(component))
        _seed_everything(1)
        assert _same(first, self.answers(component)), "it gave another answer the second time."
        self.answers(component, seed=1)
        assert _same(first, self.answers(component)), "it gave another answer after it was asked something else."

    @rule
    def test_two_with_the_same_options_agree(self) -> None:
        """Two components with the same options give the same answers, whatever one of them was asked before."""
        one, other = self.make(), self.make()
        _seed_everything(0)
        self.answers(one, seed=1)
        first = _copied(self.answers(one))
        _seed_everything(1)
        assert _same(first, self.answers(other)), "the two give different answers."

    @rule
    def test_warming_up_again_changes_nothing(self) -> None:
        """Warming up again changes nothing."""
        component = self.make()
        first = _copied(self.answers(component))
        component.warm_up("cpu", "float32")
        assert _same(first, self.answers(component)), "after a second warm_up it gives another answer."

    @rule
    def test_a_warm_one_needs_its_files_no_more(self) -> None:
        """What it reads from its files, it has read after warm_up."""
        component = self.make()
        for folder in self._folders:
            shutil.rmtree(folder)
        self.answers(component)

    @rule
    def test_bfloat16_changes_no_type(self) -> None:
        """Warmed up in bfloat16 it answers in the same types and shapes as in float32."""
        expected = [_described(one) for one in self.answers(self.make())]
        found = [_described(one) for one in self.answers(self.make(dtype="bfloat16"))]
        assert found == expected, f"it answered {', '.join(found)}, in float32 {', '.join(expected)}."

    @rule
    def test_what_it_returns_is_the_callers(self) -> None:
        """What it returns is the caller's own: writing into it changes no later answer."""
        component = self.make()
        returned = self.answers(component)
        first = _copied(returned)
        for one in returned:
            if isinstance(one, list):
                one.clear()
            elif isinstance(one, np.ndarray):
                one.fill(0)
        assert _same(first, self.answers(component)), "writing into an answer changed the next."


def _seed_everything(seed: int) -> None:
    """Puts the libraries' own generators elsewhere: an answer that draws from them shows."""
    import torch

    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def _copied(answers: Answers) -> Answers:
    return [one.copy() if isinstance(one, (np.ndarray, list)) else one for one in answers]


def _same(left: Answers, right: Answers) -> bool:
    pairs = zip(left, right, strict=True)
    return all(np.array_equal(np.asarray(one), np.asarray(other)) for one, other in pairs)


def _described(one: npt.NDArray[np.generic] | list[int] | str) -> str:
    return f"{one.dtype} {list(one.shape)}" if isinstance(one, np.ndarray) else type(one).__name__
