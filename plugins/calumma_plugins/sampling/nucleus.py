"""The plain sampler: one decoder, all streams in one batch, one id per row and step (Yu et al. 2023, arXiv:2309.02591, 3.1)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

from calumma.documents import Constraint, IntArray, Modality
from calumma.errors import ComponentError
from calumma.interfaces import Decoder, Noise, Options, Progress, Rule, Sampler
from calumma_plugins.sampling.drawing import draw
from calumma_plugins.sampling.guidance import Guidance
from calumma_plugins.sampling.options import (
    GuidanceOptions,
    NucleusOptions,
    TemperatureOptions,
    TopKOptions,
    TopPOptions,
)
from calumma_plugins.sampling.rows import Choice, Row, Scoring, kept, padded, progress, started
from calumma_plugins.sampling.rules import Temperature, TopK, TopP


class NucleusSampler(Sampler):
    """Component `sampling/nucleus`. It runs "conditional" and the streams that rules name: none beside it at guidance 1."""

    id = "sampling/nucleus"
    Options: ClassVar[type[Options]] = NucleusOptions
    options: NucleusOptions

    def rules(self, modality: Modality) -> list[Rule]:
        """Guidance, the extra rules, temperature, top-k, top-p; those that would change nothing are left out."""
        o, text = self.options, modality == "text"
        guidance = o.text_guidance if text else o.guidance
        temperature = o.text_temperature if text else o.temperature
        k, p = (o.text_top_k, o.text_top_p) if text else (o.top_k, o.top_p)
        rules: list[Rule] = []
        if guidance != 1:
            rules.append(Guidance(GuidanceOptions(weight=guidance)))
        for part in o.rules:
            if not isinstance(part.built, Rule):
                raise ComponentError(f"{part.built!r} is no rule.", "List components of kind rule under `rules`.")
            rules.append(part.built)
        if temperature != 1:
            rules.append(Temperature(TemperatureOptions(temperature=temperature)))
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
        rows = [Row(constraint, sample) for constraint, sample in zip(constraints, samples, strict=True)]
        names, state = started(decoder, streams, rows, rules)
        scoring, passes, active = Scoring(rules), 1, rows
        while active:
            logits = dict(zip(names, state.logits.view(len(names), len(active), -1), strict=True))
            choices = [
                Choice(place, row.allowed, row.sample, row.count)
                for place, row in enumerate(active)
                if row.allowed is not None and len(row.allowed) > 1
            ]
            for members, allowed, scores in scoring(logits, choices):
                some = [choices[i] for i in members]
                chosen = draw(scores, noise, [one.sample for one in some], [one.offset for one in some])
                for one, id in zip(some, allowed[chosen].tolist(), strict=True):
                    active[one.place].take(id)
            runs = [row.run() for row in active]
            yield progress(rows, passes)
            left = [i for i, row in enumerate(active) if not row.complete]
            if not left:
                return
            if len(left) < len(active):
                state = kept(decoder, state, left, len(active), len(names))
                active, runs = [active[i] for i in left], [runs[i] for i in left]
            decoder.append(state, *padded(runs, len(names)))
            passes += 1
