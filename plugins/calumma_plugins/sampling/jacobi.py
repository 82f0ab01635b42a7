"""Speculative Jacobi decoding: several ids in one forward pass, exactly as likely as one by one (Teng et al. 2024)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

import numpy as np
import torch

from calumma.documents import Constraint, IntArray
from calumma.errors import ComponentError
from calumma.interfaces import Decoder, DecoderCapability, Noise, Options, Progress, Rule
from calumma_plugins.sampling.drafts import DraftedRow
from calumma_plugins.sampling.drawing import Mass, invert, probabilities
from calumma_plugins.sampling.nucleus import NucleusSampler
from calumma_plugins.sampling.options import JacobiOptions
from calumma_plugins.sampling.rows import Choice, Scoring, kept, padded, progress, started


class JacobiSampler(NucleusSampler):
    """Component `sampling/jacobi` (arXiv:2410.01699; coupled: arXiv:2510.24211). Same options as nucleus, same distribution.

    Behind the ids that are final stand drafts, each with the distribution q that it was drawn from. One pass over them gives
    the distribution p of every place, as the rules make it from all streams. A draft x is kept if r q(x) < p(x), for r uniform
    in [0, 1); else the place is drawn from max(0, p - q). Either way it is distributed as p. The first draft that is not kept
    ends what is final: the places behind it were shown another id than the one that now stands there. So they stay drafts, with
    p as their q. They are drawn anew from p or, `coupled`, kept or replaced as above, so that more of them survive to the end.

    A place that enters the window is drafted from the last distribution that the row has seen, or evenly where other ids are
    allowed. Every draw of (sample, offset) has fresh noise; the first is that of `sampling/nucleus`, so window 1 is nucleus.
    """

    id = "sampling/jacobi"
    Options: ClassVar[type[Options]] = JacobiOptions
    options: JacobiOptions

    @property
    def needs(self) -> frozenset[DecoderCapability]:
        """It takes back ids that were drafted."""
        return frozenset(("rewind",))

    def fill(
        self,
        decoder: Decoder,
        streams: Mapping[str, Sequence[IntArray]],
        constraints: Sequence[Constraint],
        rules: Sequence[Rule],
        noise: Noise,
        samples: Sequence[int],
    ) -> Iterator[Progress]:
        """Raises ComponentError too where the decoder cannot rewind."""
        if "rewind" not in decoder.capabilities:
            raise ComponentError(
                f"{self.id} takes back ids that were drafted, and the decoder {decoder.id} cannot rewind.",
                "Pick a decoder that can, or the sampler sampling/nucleus.",
            )
        rows = [DraftedRow(constraint, sample, noise) for constraint, sample in zip(constraints, samples, strict=True)]
        names, state = started(decoder, streams, rows, rules)
        scoring, passes, active = Scoring(rules), 1, rows
        logits = state.logits[:, None]  # [streams * rows, T, V]
        while True:
            self._advance(dict(zip(names, logits.reshape(len(names), -1, logits.shape[-1]), strict=True)), active, scoring)
            for row in active:
                row.draft(self.options.window)
            yield progress(rows, passes)
            left = [i for i, row in enumerate(active) if not row.complete]
            if not left:
                return
            if len(left) < len(active):
                state = kept(decoder, state, left, len(active), len(names))
                active = [active[i] for i in left]
            if any(row.stale for row in active):
                stale = torch.tensor([row.stale for row in active] * len(names))
                decoder.rewind(state, (state.lengths.cpu() - stale).tolist())
            logits = decoder.append(state, *padded([row.feed() for row in active], len(names)))
            passes += 1

    def _advance(self, logits: Mapping[str, torch.Tensor], active: Sequence[DraftedRow], scoring: Scoring) -> None:
        """Moves every row to what the last pass says of its places; logits [rows * T, V] per stream."""
        width = len(next(iter(logits.values()))) // len(active)
        owners = [(i, row, ahead, allowed) for i, row in enumerate(active) for ahead, allowed in row.open_places()]
        choices = [
            Choice(i * width + row.skipped + ahead, allowed, row.sample, row.count + ahead) for i, row, ahead, allowed in owners
        ]
        groups = []
        for members, _, scores in scoring(logits, choices):
            p = probabilities(scores)
            groups.append([owners[i][1].tell(owners[i][2], p[n]) for n, i in enumerate(members)])
        for row in active:
            row.judge(self.options.coupled)
        for verdicts in groups:
            drawn = [one for one in verdicts if one.column < 0]
            if drawn:
                mass = np.stack([one.p if one.refused is None else self.residual(one.p, one.refused) for one in drawn])
                for one, column in zip(drawn, invert(mass, np.array([one.u for one in drawn])).tolist(), strict=True):
                    one.column = column
        for row in active:
            row.settle()

    @staticmethod
    def residual(p: Mass, q: Mass) -> Mass:
        """What p has more than q, float64 [V], not normalised: where to draw from when a draft of q was not kept."""
        rest: Mass = np.maximum(p - q, 0)
        return rest if rest.any() else p  # equal but for rounding
