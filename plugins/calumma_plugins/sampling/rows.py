"""What every loop of this plugin shares: rows that fill up, choices that go through the rules, streams that start together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch

from calumma.documents import CONDITIONAL, Constraint, IntArray
from calumma.errors import ComponentError
from calumma.interfaces import Decoder, Progress, Rule, State

LONGEST_RUN = 64  # forced ids that are fed at once


class Row:
    """One hole while it is being filled.

    Attributes:
        allowed: the ids that may come next; None where the hole is complete.
        fed: how many of its ids the decoder has seen.
    """

    def __init__(self, constraint: Constraint, sample: int) -> None:
        self.constraint = constraint
        self.sample = sample
        self.fed = 0
        self.drawn: list[int] = []
        self._buffer = np.zeros(constraint.capacity, np.int64)
        self.allowed = constraint.allowed(0, self.drawn)

    @property
    def count(self) -> int:
        """How many ids it has."""
        return len(self.drawn)

    @property
    def ids(self) -> IntArray:
        """Drawn so far; a view that later ids do not change."""
        return self._buffer[: self.count]

    @property
    def complete(self) -> bool:
        return self.allowed is None

    def take(self, id: int) -> None:
        self._buffer[self.count] = id
        self.drawn.append(id)
        self.allowed = self.constraint.allowed(self.count, self.drawn)

    def take_forced(self) -> None:
        """Takes the forced ids that come next, until a long run waits to be fed."""
        while self.allowed is not None and len(self.allowed) == 1 and self.count - self.fed < LONGEST_RUN:
            self.take(int(self.allowed[0]))

    def run(self) -> list[int]:
        """Takes the forced ids that come next, and returns all that the decoder has not seen."""
        self.take_forced()
        fresh = self.drawn[self.fed :]
        self.fed = self.count
        return fresh


class Choice(NamedTuple):
    """An id that is to be drawn: the row of the logits, the ids it is one of, and where it will stand."""

    place: int
    allowed: IntArray
    sample: int
    offset: int


class Scoring:
    """Takes choices through the rules; those among the same ids go together."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = rules
        self._columns: dict[int, tuple[IntArray, slice | torch.Tensor]] = {}  # holds the array, so that its id stays its own

    def __call__(
        self, logits: Mapping[str, torch.Tensor], choices: Sequence[Choice]
    ) -> Iterator[tuple[list[int], IntArray, torch.Tensor]]:
        """(indexes of n choices, the ids they are among, unnormalised log-probabilities float32 [n, len(ids)]) by group."""
        groups: dict[int, list[int]] = {}
        for index, choice in enumerate(choices):
            groups.setdefault(id(choice.allowed), []).append(index)
        for members in groups.values():
            allowed = choices[members[0]].allowed
            places = [choices[i].place for i in members]
            shown = {name: self._gathered(one, places, allowed) for name, one in logits.items()}
            samples = np.array([choices[i].sample for i in members])
            offsets = np.array([choices[i].offset for i in members])
            for rule in self._rules:
                shown[CONDITIONAL] = rule(shown, samples, offsets)
            yield members, allowed, shown[CONDITIONAL]

    def _gathered(self, logits: torch.Tensor, places: list[int], allowed: IntArray) -> torch.Tensor:
        """float32 [len(places), len(allowed)]; a slice where the ids are consecutive, else by index; found once per set."""
        if id(allowed) not in self._columns:
            consecutive = int(allowed[-1] - allowed[0]) + 1 == len(allowed)
            index = slice(int(allowed[0]), int(allowed[-1]) + 1) if consecutive else torch.from_numpy(allowed.copy())
            self._columns[id(allowed)] = (allowed, index)
        columns = self._columns[id(allowed)][1]
        found = logits[:, columns] if isinstance(columns, slice) else logits.index_select(1, columns.to(logits.device))
        return found if places == list(range(len(found))) else found[places]


def started(
    decoder: Decoder, streams: Mapping[str, Sequence[IntArray]], rows: Sequence[Row], rules: Sequence[Rule]
) -> tuple[list[str], State]:
    """The streams in use, and a state of all their rows, stream by stream. Equal prompts are prefilled once."""
    names = needed_streams(rules, streams)
    prompts = [prompt for name in names for prompt in streams[name]]
    room = max(len(prompt) + rows[i % len(rows)].constraint.capacity for i, prompt in enumerate(prompts))
    return names, start_shared(decoder, prompts, min(room, decoder.context))


def kept(decoder: Decoder, state: State, left: Sequence[int], rows: int, streams: int) -> State:
    """The state with only some of the rows, in every stream."""
    return decoder.keep(state, [s * rows + i for s in range(streams) for i in left])


def padded(runs: Sequence[Sequence[int]], streams: int) -> tuple[torch.Tensor, torch.Tensor]:
    """What `append` takes to feed each row its run in every stream: ids int64 [streams * n, T] and how many count."""
    longest = max(map(len, runs))
    ids = np.array([[*run, *[0] * (longest - len(run))] for run in runs], np.int64)
    valid = np.array([len(run) for run in runs])
    return torch.from_numpy(np.tile(ids, (streams, 1))), torch.from_numpy(np.tile(valid, streams))


def progress(rows: Sequence[Row], passes: int) -> Progress:
    """How far the rows are, counted by the one with the most ids still to come."""
    total = max(row.constraint.capacity for row in rows)
    left = max((row.constraint.capacity - row.count for row in rows if not row.complete), default=0)
    return Progress(tuple(row.ids for row in rows), tuple(row.complete for row in rows), total - left, total, passes)


def needed_streams(rules: Sequence[Rule], streams: Mapping[str, object]) -> list[str]:
    """ "conditional", then what the rules name. Raises ComponentError where a stream is not there."""
    names = [CONDITIONAL, *sorted(frozenset[str]().union(*(rule.streams for rule in rules)) - {CONDITIONAL})]
    for name in names:
        if name not in streams:
            owner = next((rule.id for rule in rules if name in rule.streams), "the sampler")
            raise ComponentError(f"{owner} needs the stream {name!r}, which is missing.", "Pass its prompts, or drop the rule.")
    return names


def start_shared(decoder: Decoder, prompts: Sequence[IntArray], capacity: int) -> State:
    """Prefills equal prompts once, then copies their rows, where the decoder can fork."""
    if "fork" not in decoder.capabilities:
        return decoder.start(prompts, capacity)
    first: dict[bytes, int] = {}
    which = [first.setdefault(np.asarray(prompt, np.int64).tobytes(), len(first)) for prompt in prompts]
    unique = [prompts[which.index(i)] for i in range(len(first))]
    state = decoder.start(unique, capacity)
    return state if len(unique) == len(prompts) else decoder.fork(state, which)
