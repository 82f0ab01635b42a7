"""The plain sampler: one decoder, all streams in one batch, one id per row and step (Yu et al. 2023, arXiv:2309.02591, 3.1)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

import numpy as np
import torch

from calumma.documents import CONDITIONAL, Constraint, IntArray, Modality
from calumma.errors import ComponentError
from calumma.interfaces import Decoder, Noise, Options, Progress, Rule, Sampler, State
from calumma_plugins.sampling.drawing import draw
from calumma_plugins.sampling.options import (
    GuidanceOptions,
    NucleusOptions,
    TemperatureOptions,
    TopKOptions,
    TopPOptions,
)
from calumma_plugins.sampling.rules import Guidance, Temperature, TopK, TopP

LONGEST_RUN = 64  # forced ids that are fed at once


class NucleusSampler(Sampler):
    """Component `sampling/nucleus`. It runs "conditional" and the streams that rules name: none beside it at guidance 1."""

    id = "sampling/nucleus"
    Options: ClassVar[type[Options]] = NucleusOptions
    options: NucleusOptions

    def rules(self, modality: Modality) -> list[Rule]:
        """Guidance, temperature, the extra rules, top-k, top-p; those that would change nothing are left out."""
        o, text = self.options, modality == "text"
        guidance = o.text_guidance if text else o.guidance
        temperature = o.text_temperature if text else o.temperature
        k, p = (o.text_top_k, o.text_top_p) if text else (o.top_k, o.top_p)
        rules: list[Rule] = []
        if guidance != 1:
            rules.append(Guidance(GuidanceOptions(weight=guidance)))
        if temperature != 1:
            rules.append(Temperature(TemperatureOptions(temperature=temperature)))
        for part in o.rules:
            if not isinstance(part.built, Rule):
                raise ComponentError(f"{part.built!r} is no rule.", "List components of kind rule under `rules`.")
            rules.append(part.built)
        if k is not None:
            rules.append(TopK(TopKOptions(k=k)))
        if p < 1:
            rules.append(TopP(TopPOptions(p=p)))
        return rules

    def fill(
        self,
        decoder: Decoder,
        streams: Mapping[str, Sequence[IntArray]],
        constraints: Sequence[Constraint],
        rules: Sequence[Rule],
        noise: Noise,
        samples: Sequence[int],
    ) -> Iterator[Progress]:
        """Forced ids pass by the rules, and runs of them are fed at once; rows that are complete leave the batch."""
        names = needed_streams(rules, streams)
        rows = [_Row(constraint, sample) for constraint, sample in zip(constraints, samples, strict=True)]
        prompts = [prompt for name in names for prompt in streams[name]]
        room = max(len(prompt) + rows[i % len(rows)].constraint.capacity for i, prompt in enumerate(prompts))
        state = start_shared(decoder, prompts, min(room, decoder.context))
        passes, total = 1, max(row.constraint.capacity for row in rows)
        ids_of = _Allowed()
        active = rows
        while active:
            logits = state.logits.view(len(names), len(active), -1)
            for place, id in self._drawn(dict(zip(names, logits, strict=True)), active, rules, noise, ids_of):
                active[place].take(id)
            runs = [row.run() for row in active]
            yield Progress(
                tuple(row.ids for row in rows),
                tuple(row.complete for row in rows),
                total - max((row.constraint.capacity - row.count for row in rows if not row.complete), default=0),
                total,
                passes,
            )
            left = [i for i, row in enumerate(active) if not row.complete]
            if not left:
                return
            if len(left) < len(active):
                state = decoder.keep(state, [s * len(active) + i for s in range(len(names)) for i in left])
                active, runs = [active[i] for i in left], [runs[i] for i in left]
            longest = max(map(len, runs))
            ids = np.array([[*run, *[0] * (longest - len(run))] for run in runs])
            valid = np.array([len(run) for run in runs])
            decoder.append(state, torch.from_numpy(np.tile(ids, (len(names), 1))), torch.from_numpy(np.tile(valid, len(names))))
            passes += 1

    def _drawn(
        self,
        logits: Mapping[str, torch.Tensor],
        active: Sequence[_Row],
        rules: Sequence[Rule],
        noise: Noise,
        ids_of: _Allowed,
    ) -> Iterator[tuple[int, int]]:
        """(place in `active`, id) for every row that has a choice; rows with the same choice go through the rules together."""
        groups: dict[int, list[int]] = {}
        for place, row in enumerate(active):
            if row.allowed is not None and len(row.allowed) > 1:
                groups.setdefault(id(row.allowed), []).append(place)
        for places in groups.values():
            allowed = active[places[0]].allowed
            assert allowed is not None
            gathered = {name: ids_of.gather(one, places, allowed) for name, one in logits.items()}
            seen = [active[place] for place in places]
            sampled, offsets = [row.sample for row in seen], [row.count for row in seen]
            for rule in rules:
                gathered[CONDITIONAL] = rule(gathered, np.array(sampled), np.array(offsets))
            chosen = draw(gathered[CONDITIONAL], noise, sampled, offsets)
            yield from zip(places, allowed[chosen].tolist(), strict=True)


class _Row:
    """One hole while it is being filled."""

    def __init__(self, constraint: Constraint, sample: int) -> None:
        self.constraint = constraint
        self.sample = sample
        self._drawn: list[int] = []
        self._buffer = np.zeros(constraint.capacity, np.int64)
        self._fed = 0
        self.allowed = constraint.allowed(0, self._drawn)

    @property
    def count(self) -> int:
        """How many ids it has."""
        return len(self._drawn)

    @property
    def ids(self) -> IntArray:
        """Drawn so far; a view that later ids do not change."""
        return self._buffer[: self.count]

    @property
    def complete(self) -> bool:
        return self.allowed is None

    def take(self, id: int) -> None:
        self._buffer[self.count] = id
        self._drawn.append(id)
        self.allowed = self.constraint.allowed(self.count, self._drawn)

    def run(self) -> list[int]:
        """Takes the forced ids that come next, and returns all that the decoder has not seen."""
        while self.allowed is not None and len(self.allowed) == 1 and self.count - self._fed < LONGEST_RUN:
            self.take(int(self.allowed[0]))
        fresh = self._drawn[self._fed :]
        self._fed = self.count
        return fresh


class _Allowed:
    """Columns of allowed ids: a slice where they are consecutive, else an index tensor; worked out once per set."""

    def __init__(self) -> None:
        self._columns: dict[int, tuple[IntArray, slice | torch.Tensor]] = {}  # holds the array, so that its id stays its own

    def gather(self, logits: torch.Tensor, places: Sequence[int], allowed: IntArray) -> torch.Tensor:
        """float32 [len(places), len(allowed)]."""
        if id(allowed) not in self._columns:
            consecutive = int(allowed[-1] - allowed[0]) + 1 == len(allowed)
            index = slice(int(allowed[0]), int(allowed[-1]) + 1) if consecutive else torch.from_numpy(allowed.copy())
            self._columns[id(allowed)] = (allowed, index)
        columns = self._columns[id(allowed)][1]
        rows = logits if len(places) == len(logits) else logits[list(places)]
        return rows[:, columns] if isinstance(columns, slice) else rows.index_select(1, columns.to(rows.device))


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
