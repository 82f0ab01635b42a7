"""Several samplers that share the samples of a prompt: half by one and half by another keeps improving the best of n."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

import numpy as np
import torch

from calumma.documents import CONDITIONAL, Constraint, IntArray, Modality
from calumma.errors import ComponentError
from calumma.interfaces import Decoder, DecoderCapability, Device, Dtype, Noise, Options, Progress, Rule, Sampler
from calumma_plugins.sampling.nucleus import NucleusSampler
from calumma_plugins.sampling.options import MixtureOptions
from calumma_plugins.sampling.rows import needed_streams


class Shared(Rule):
    """The rules of every part at once: each row goes through those of the part that draws its sample."""

    id = "sampling/mixture"
    Options: ClassVar[type[Options]] = MixtureOptions
    options: MixtureOptions

    def __init__(self, options: MixtureOptions, rules: Sequence[Sequence[Rule]]) -> None:
        super().__init__(options)
        self.rules = rules
        self.streams = frozenset[str]().union(*(rule.streams for own in rules for rule in own))

    def __call__(self, logits: Mapping[str, torch.Tensor], rows: IntArray, positions: IntArray) -> torch.Tensor:
        scores = torch.empty_like(logits[CONDITIONAL])
        drawn_by = np.array([part_of(sample, shares_of(self.options)) for sample in rows.tolist()])
        for part in np.unique(drawn_by):
            places = np.flatnonzero(drawn_by == part)
            shown = {name: one[places] for name, one in logits.items()}
            for rule in self.rules[part]:
                shown[CONDITIONAL] = rule(shown, rows[places], positions[places])
            scores[places] = shown[CONDITIONAL]
        return scores


class MixtureSampler(Sampler):
    """Component `sampling/mixture`: CM3Leon's many, half by nucleus and half by CD-K (arXiv:2309.02591, figure 4).

    Sample i is what its part alone draws as sample i. Parts that are filled by the loop of `sampling/nucleus` and need the same
    streams go through the decoder in one batch; others one part after another.
    """

    id = "sampling/mixture"
    Options: ClassVar[type[Options]] = MixtureOptions
    options: MixtureOptions

    @property
    def needs(self) -> frozenset[DecoderCapability]:
        """What its parts need."""
        return frozenset[DecoderCapability]().union(*(part.needs for part in self.parts))

    @property
    def parts(self) -> list[Sampler]:
        """The samplers. Raises ComponentError where one is none."""
        found = []
        for part in self.options.parts:
            if not isinstance(part.built, Sampler):
                raise ComponentError(f"{part.built!r} is no sampler.", "List components of kind sampler under `parts`.")
            found.append(part.built)
        return found

    def warm_up(self, device: Device = "cpu", dtype: Dtype = "float32") -> None:
        for part in self.parts:
            part.warm_up(device, dtype)

    def rules(self, modality: Modality) -> list[Rule]:
        """One rule, which holds those of every part."""
        return [Shared(self.options, [part.rules(modality) for part in self.parts])]

    def fill(
        self,
        decoder: Decoder,
        streams: Mapping[str, Sequence[IntArray]],
        constraints: Sequence[Constraint],
        rules: Sequence[Rule],
        noise: Noise,
        samples: Sequence[int],
    ) -> Iterator[Progress]:
        """Rules that are not the parts' own are applied to the samples of all parts."""
        needed_streams(rules, streams)
        ids, finished = [np.zeros(0, np.int64) for _ in samples], [False for _ in samples]
        plan = list(self._plan(rules, samples))
        left = [max(constraints[i].capacity for i in places) for _, places, _ in plan]  # steps that a part takes at most
        done = passes = 0
        for sampler, places, own in plan:
            prompts = {name: [one[i] for i in places] for name, one in streams.items()}
            left.pop(0)
            step = None
            for step in sampler.fill(
                decoder, prompts, [constraints[i] for i in places], own, noise, [samples[i] for i in places]
            ):
                for i, drawn, complete in zip(places, step.ids, step.finished, strict=True):
                    ids[i], finished[i] = drawn, complete
                total = done + step.total + sum(left)
                yield Progress(tuple(ids), tuple(finished), done + step.done, total, passes + step.passes)
            if step is not None:
                done, passes = done + step.done, passes + step.passes

    def _plan(self, rules: Sequence[Rule], samples: Sequence[int]) -> Iterator[tuple[Sampler, list[int], list[Rule]]]:
        """(sampler, places in the batch, rules) of each fill."""
        parts, shares = self.parts, shares_of(self.options)
        drawn_by = [part_of(sample, shares) for sample in samples]
        together: dict[object, list[int]] = {}
        for part in sorted(set(drawn_by)):
            own = _own(rules, part)
            plain = type(parts[part]).fill is NucleusSampler.fill
            key = frozenset[str]().union(*(rule.streams for rule in own)) if plain else part
            together.setdefault(key, []).append(part)
        for members in together.values():
            places = [i for i, part in enumerate(drawn_by) if part in members]
            yield parts[members[0]], places, _own(rules, members[0]) if len(members) == 1 else list(rules)


def shares_of(options: MixtureOptions) -> list[float]:
    """The share of each part, of 1 in all."""
    shares = options.shares or [1.0] * len(options.parts)
    return [share / sum(shares) for share in shares]


def part_of(sample: int, shares: Sequence[float]) -> int:
    """Which part draws a sample: where its number in van der Corput's sequence falls, so that any n are shared out evenly."""
    place, weight = 0.0, 0.5
    while sample:
        place, weight, sample = place + weight * (sample % 2), weight / 2, sample // 2
    ends = np.cumsum(shares)
    return int(min((ends <= place).sum(), np.flatnonzero(shares)[-1]))  # rounding must not reach beyond the last that draws


def _own(rules: Sequence[Rule], part: int) -> list[Rule]:
    """The rules that the samples of one part go through."""
    return [one for rule in rules for one in (rule.rules[part] if isinstance(rule, Shared) else (rule,))]
