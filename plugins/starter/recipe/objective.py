"""The CM3 objective (Aghajanyan et al. 2022, arXiv:2201.07520): which spans of a sample are masked and moved to its end.

How spans are moved is the core's (`calumma.documents.spans`); here they are drawn, and conditions are dropped so that
the streams that guidance compares with are streams that training has seen.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from calumma.documents.layout import TokenSequence
from calumma.documents.spans import Span, move, segments
from calumma.documents.vocabulary import Vocabulary

WHOLE = 0.3
DROP = 0.1


def draw_spans(within: Sequence[Span], rng: np.random.Generator, whole: float = WHOLE, limit: int = 16) -> list[Span]:
    """Spans [start, end) to move, in reading order: none, one whole segment, or random disjoint ones inside segments.

    With probability `whole` one whole segment is taken: on short samples random spans next to never cover the caption,
    and captioning is exactly that. Else n ~ Poisson(1), at most `limit`; n = 0 is plain next-token training. For n > 0,
    n^2 candidates are drawn and those kept, up to n, that meet none kept before.
    """
    if rng.random() < whole:
        return [within[int(rng.integers(len(within)))]]
    count = min(int(rng.poisson(1.0)), limit)
    lengths = np.array([end - start for start, end in within], dtype=np.float64)
    kept: list[Span] = []
    for _ in range(count * count):
        first, last = within[int(rng.choice(len(within), p=lengths / lengths.sum()))]
        low, high = sorted(rng.random(2))
        start, end = first + int(low * (last - first)), first + int(high * (last - first) + 0.5)
        if start < end and all(end <= a or start >= b for a, b in kept):
            kept.append((start, end))
        if len(kept) == count:
            break
    return sorted(kept)


def cm3(
    sequence: TokenSequence,
    vocabulary: Vocabulary,
    rng: np.random.Generator,
    whole: float = WHOLE,
    drop: float = DROP,
) -> TokenSequence:
    """One training sample: spans of its own document (never of retrieved ones) moved to the end.

    With probability `drop` every segment but one is only a mask that nothing answers, as in the layout's unconditional
    stream `<eos> [documents] <mask:0> <break>`; the one that stays is the last, or that of a moved span.
    """
    own = np.where(sequence.part >= 0, sequence.ids, vocabulary.eos)
    within = segments(own, vocabulary)
    spans = draw_spans(within, rng, whole)
    forgotten: list[Span] = []
    if len(within) > 1 and rng.random() < drop:
        start, end = spans[int(rng.integers(len(spans)))] if spans else within[-1]
        forgotten = [segment for segment in within if not (segment[0] <= start and end <= segment[1])]
        spans = [span for span in spans if not any(a <= span[0] and span[1] <= b for a, b in forgotten)]
    every = sorted([*spans, *forgotten])
    if not every:
        return sequence
    return move(sequence, every, vocabulary, forgotten={every.index(span) for span in forgotten})
