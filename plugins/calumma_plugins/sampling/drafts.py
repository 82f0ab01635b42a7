"""A row of speculative Jacobi decoding: final ids, the drafts behind them, and what a pass over both says of each place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from calumma.documents import Constraint, IntArray
from calumma.interfaces import Noise
from calumma_plugins.sampling.drawing import Mass, invert
from calumma_plugins.sampling.rows import Row


@dataclass(eq=False)
class Draft:
    """An id that may come to stand here: `allowed[column]`, drawn from q, float64 [len(allowed)]; q is None if it is forced."""

    allowed: IntArray
    column: int
    q: Mass | None

    @property
    def id(self) -> int:
        return int(self.allowed[self.column])


@dataclass(eq=False)
class Verdict:
    """What is to stand at a place whose distribution is now known to be p.

    Attributes:
        u, r: fresh numbers in [0, 1), for a draw and for keeping a draft.
        refused: the q of a draft that was not kept.
        column: of the id; below 0 where it is still to be drawn: from the residual of p and `refused`, or from p.
    """

    p: Mass
    u: float
    r: float
    refused: Mass | None = None
    column: int = -1


class DraftedRow(Row):
    """One hole while it is being filled by drafts.

    Attributes:
        asked: the ids allowed at the places that the pass under way tells of: those of the drafts, and the one behind them.
        skipped: how many of the pass's distributions come before those.
        stale: how many ids the decoder has seen last that came to nothing.
    """

    def __init__(self, constraint: Constraint, sample: int, noise: Noise) -> None:
        super().__init__(constraint, sample)
        self.asked = [] if self.allowed is None else [self.allowed]
        self.skipped = self.stale = 0
        self._noise = noise
        self._draws = [0] * constraint.capacity  # of each offset, how often it was drawn
        self._drafts: list[Draft] = []
        self._behind: IntArray | None = None  # what may follow the drafts
        self._fed_final = self._fed_drafts = 0
        self._verdicts: dict[int, Verdict] = {}
        self._kept = 0
        self._last_seen: tuple[IntArray, Mass] | None = None  # the ids and the distribution of the place that was told last

    def open_places(self) -> Iterator[tuple[int, IntArray]]:
        """(how far ahead of what is final, the ids allowed there) for each place asked about that has a choice."""
        return ((ahead, allowed) for ahead, allowed in enumerate(self.asked) if len(allowed) > 1)

    def tell(self, ahead: int, p: Mass) -> Verdict:
        """Takes the distribution of a place, float64 [len(asked[ahead])]."""
        u, r = self._fresh(self.count + ahead)
        self._verdicts[ahead] = Verdict(p, u, r)
        self._last_seen = (self.asked[ahead], p)
        return self._verdicts[ahead]

    def judge(self, coupled: bool) -> None:
        """Decides which drafts are kept: those from the first on, and with `coupled` any that the new distribution allows."""
        self._kept, settled = 0, True
        for ahead in range(len(self.asked)):
            verdict = self._verdicts.get(ahead)
            draft = self._drafts[ahead] if ahead < len(self._drafts) else None
            if verdict is not None:
                keep = False
                if draft is not None and draft.q is not None and (settled or coupled):
                    keep = bool(verdict.r * draft.q[draft.column] < verdict.p[draft.column])
                    verdict.column, verdict.refused = (draft.column, None) if keep else (-1, draft.q)
                settled = settled and keep
            self._kept += settled and draft is not None

    def settle(self) -> None:
        """Takes what is final: the drafts that were kept from the first on, and the id behind them. The rest are drafts."""
        ids, drafts = self.drawn.copy(), list[Draft]()
        for ahead, allowed in enumerate(self.asked):
            if ahead > self._kept and self.constraint.allowed(len(ids), ids) is not allowed:
                break  # the ids before it are others now, and allow others here
            verdict = self._verdicts.get(ahead)
            draft = Draft(allowed, 0, None) if verdict is None else Draft(allowed, verdict.column, verdict.p)
            ids.append(draft.id)
            if ahead > self._kept:
                drafts.append(draft)
            else:
                self.take(draft.id)
        seen = min(self._kept, self._fed_drafts)
        self.fed, self.stale = self._fed_final + seen, self._fed_drafts - seen
        before = self.count
        self.take_forced()
        self._drafts = drafts[self.count - before :]
        self._verdicts = {}

    def draft(self, window: int) -> None:
        """Lets the final ids that were not fed and the drafts behind them be `window` ids, or as many as the hole takes."""
        room = max(window - (self.count - self.fed), 0)
        del self._drafts[room:]
        ids = [*self.drawn, *(draft.id for draft in self._drafts)]
        while (allowed := self.constraint.allowed(len(ids), ids)) is not None and len(self._drafts) < room:
            self._drafts.append(self._guessed(allowed, len(ids)))
            ids.append(self._drafts[-1].id)
        self._behind = allowed

    def feed(self) -> list[int]:
        """The ids that the next pass is over; the last draft of a hole is none of them, since nothing follows it."""
        drafts = [draft.id for draft in self._drafts]
        self.asked = [draft.allowed for draft in self._drafts]
        if self._behind is None:
            del drafts[-1:]
        else:
            self.asked.append(self._behind)
        final = self.drawn[self.fed :]
        self.skipped = len(final) - 1
        self._fed_final, self._fed_drafts = self.count, len(drafts)
        return final + drafts

    def _guessed(self, allowed: IntArray, offset: int) -> Draft:
        """A draft for a place that was not looked at yet, from what was seen of another, else drawn evenly."""
        if len(allowed) == 1:
            return Draft(allowed, 0, None)
        among, q = self._last_seen or (None, None)
        if among is not allowed or q is None:
            q = np.full(len(allowed), 1 / len(allowed))
        u, _ = self._fresh(offset)
        return Draft(allowed, int(invert(q[None], np.array([u]))[0]), q)

    def _fresh(self, offset: int) -> tuple[float, float]:
        """Two numbers in [0, 1) that nothing has seen: they depend on the sample, the offset and how often it was drawn."""
        u, r = self._noise.uniform(self.sample, offset, 2, purpose=self._draws[offset])
        self._draws[offset] += 1
        return float(u), float(r)
