"""The CM3 objective (Aghajanyan et al. 2022, arXiv:2201.07520) on arrays of ids.

A sample's segments stand between `<break>`s. Spans of them are replaced by `<mask:i>` and moved behind the body:
`<infill> (<mask:i> span <eoss>)*`. No span crosses a `<break>`; predicting a mask has no loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
Span = tuple[int, int, int]  # segment, start, end (end exclusive)


@dataclass(frozen=True)
class Specials:
    """The structural ids of the vocabulary."""

    eos: int
    brk: int
    infill: int
    eoss: int
    masks: Ids


def draw_spans(lengths: Sequence[int], rng: np.random.Generator, whole: float, limit: int = 16) -> list[Span]:
    """Spans to move, in reading order: none, whole segments, or random disjoint ones.

    With probability `whole` one whole segment is taken: on short samples random spans next to never cover the caption,
    and captioning is exactly that. Else n ~ Poisson(1), at most `limit`; n = 0 is plain next-token training. Several
    spans: n^2 candidates are drawn and those kept that meet none kept before.
    """
    filled = [s for s, length in enumerate(lengths) if length]
    if rng.random() < whole:
        segment = filled[int(rng.integers(len(filled)))]
        return [(segment, 0, lengths[segment])]
    count = min(int(rng.poisson(1.0)), limit)
    kept: list[Span] = []
    weights = np.asarray([lengths[s] for s in filled], dtype=np.float64)
    weights /= weights.sum()
    for _ in range(count * count):
        segment = filled[int(rng.choice(len(filled), p=weights))]
        low, high = sorted(rng.random(2))
        start, end = int(low * lengths[segment]), int(high * lengths[segment] + 0.5)
        if end <= start:
            continue
        if all(segment != s or end <= a or start >= b for s, a, b in kept):
            kept.append((segment, start, end))
        if len(kept) == count:
            break
    return sorted(kept)


def move_spans(segments: Sequence[Ids], spans: Sequence[Span], special: Specials) -> tuple[Ids, NDArray[np.float32]]:
    """Body with masks, then the moved spans; ids [L] and the loss weight of predicting each, float32 [L].

    The sample's opening and closing `<eos>` are the caller's.
    """
    ids: list[int] = []
    tail: list[int] = []
    by_segment: dict[int, list[tuple[int, int, int]]] = {}
    for number, (segment, start, end) in enumerate(spans):
        by_segment.setdefault(segment, []).append((start, end, int(special.masks[number])))
    for index, segment in enumerate(segments):
        if index:
            ids.append(special.brk)
        at = 0
        for start, end, mask in by_segment.get(index, ()):
            ids += [*segment[at:start].tolist(), mask]
            tail += [mask, *segment[start:end].tolist(), special.eoss]
            at = end
        ids += segment[at:].tolist()
    if spans:
        ids += [special.infill, *tail]
    array = np.asarray(ids, dtype=np.int64)
    return array, (~np.isin(array, special.masks)).astype(np.float32)


def undo(ids: Sequence[int], special: Specials) -> list[int]:
    """Put moved spans back: the inverse of `move_spans` (body ids with `<break>`s)."""
    ids = [int(i) for i in ids]
    if special.infill not in ids:
        return ids
    cut = ids.index(special.infill)
    masks = {int(m) for m in special.masks}
    spans: dict[int, list[int]] = {}
    current: list[int] = []
    for token in ids[cut + 1 :]:
        if token in masks:
            current = spans.setdefault(token, [])
        elif token != special.eoss:
            current.append(token)
    return [token for i in ids[:cut] for token in (spans[i] if i in masks else [i])]


def drop_text(segments: Sequence[Ids], special: Specials) -> tuple[Ids, NDArray[np.float32]]:
    """The unconditional sample of guidance: the first segment is one mask that nothing answers, the rest as it was."""
    first = np.asarray([special.masks[0]], dtype=np.int64)
    ids, weight = move_spans([first, *segments[1:]], [], special)
    return ids, weight
