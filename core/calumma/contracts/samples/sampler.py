"""A sampler in its plainest form: all rows in one batch, one id per row and step, finished rows standing by."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch

from calumma.documents import CONDITIONAL, Constraint, IntArray, Modality
from calumma.errors import ComponentError, FailedError
from calumma.interfaces import Decoder, Noise, Progress, Rule, Sampler


class GumbelSampler(Sampler):
    """argmax(log p + g) is a draw from p where g is Gumbel noise (Gumbel 1954). No rules of its own, no fork, no keep."""

    id = "samples/sampler"

    def rules(self, modality: Modality) -> list[Rule]:
        return []

    def fill(
        self,
        decoder: Decoder,
        streams: Mapping[str, Sequence[IntArray]],
        constraints: Sequence[Constraint],
        rules: Sequence[Rule],
        noise: Noise,
        samples: Sequence[int],
    ) -> Iterator[Progress]:
        names = [CONDITIONAL, *sorted(frozenset[str]().union(*(rule.streams for rule in rules)) - {CONDITIONAL})]
        for name in names:
            if name not in streams:
                raise ComponentError(f"A rule needs the stream {name!r}, which is missing.", "Pass its prompts.")
        room = max(len(streams[name][row]) + one.capacity for name in names for row, one in enumerate(constraints))
        state = decoder.start([prompt for name in names for prompt in streams[name]], room)
        drawn: list[list[int]] = [[] for _ in constraints]
        for step in itertools.count(1):
            valid = []
            for row, (ids, constraint, sample) in enumerate(zip(drawn, constraints, samples, strict=True)):
                allowed, offset = constraint.allowed(len(ids), ids), len(ids)
                valid.append(int(allowed is not None))
                if allowed is None:
                    continue
                columns = torch.from_numpy(allowed.copy()).to(state.logits.device)
                logits = {name: state.logits[place * len(drawn) + row, columns][None] for place, name in enumerate(names)}
                for rule in rules:
                    logits[CONDITIONAL] = rule(logits, np.array([sample]), np.array([offset]))
                scores = logits[CONDITIONAL][0].double().cpu().numpy() + noise.gumbel(sample, offset, len(allowed))
                if not np.isfinite(scores.max()):
                    raise FailedError("The rules left no id to draw, or scores that are not numbers.", "Check the rules.")
                ids.append(int(allowed[scores.argmax()]))
            complete = tuple(one.allowed(len(ids), ids) is None for one, ids in zip(constraints, drawn, strict=True))
            rows = tuple(np.array(ids, np.int64) for ids in drawn)
            yield Progress(rows, complete, step, max(one.capacity for one in constraints), step)
            if all(complete):
                return
            last = torch.tensor([[ids[-1]] for ids in drawn] * len(names))
            decoder.append(state, last, torch.tensor(valid * len(names)))
