"""Masked spans of the CM3 objective: where they may lie, how they are moved to the end, how a sequence is trimmed around them.

Aghajanyan et al. 2022, arXiv:2201.07520, section 2: `a <mask:0> c <eos> <infill> <mask:0> b <eoss>`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import pairwise

import numpy as np

from calumma.documents.document import BoolArray, IntArray
from calumma.documents.layout import TokenSequence
from calumma.documents.vocabulary import Vocabulary
from calumma.errors import InputError

Span = tuple[int, int]


def segments(ids: IntArray, vocabulary: Vocabulary) -> list[Span]:
    """[start, end) of every run of text or image ids between structure ids; a masked span lies inside one of them."""
    content = np.concatenate([[0], (ids < vocabulary.content_size).astype(np.int8), [0]])
    edges = np.flatnonzero(np.diff(content))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]


def clip(span: Span, within: Sequence[Span]) -> Span | None:
    """The part of `span` inside the segment that it overlaps most (the first of equals); None where it overlaps none."""
    cut = [(max(span[0], start), min(span[1], end)) for start, end in within]
    best = max(cut, key=lambda one: one[1] - one[0], default=(0, 0))
    return best if best[1] > best[0] else None


def move(
    sequence: TokenSequence, spans: Sequence[Span], vocabulary: Vocabulary, forgotten: Collection[int] = ()
) -> TokenSequence:
    """Replaces span i by `<mask:i>` and appends `<infill>`, then `<mask:i> span <eoss>` for each.

    Masks weigh nothing in the loss; the ids of a span keep the weight and the part they had. Positions are renumbered.

    Args:
        sequence: one sample without moved spans.
        spans: [start, end) in reading order, apart from each other, each inside one segment.
        forgotten: indexes of spans that are replaced by their mask and not appended (a dropped condition).

    Raises:
        InputError: spans that overlap, are empty, are out of order, or hold structure such as `<break>`.
    """
    bounds = [0, *(edge for span in spans for edge in span), len(sequence)]
    if any(a > b for a, b in pairwise(bounds)) or any(start == end for start, end in spans):
        raise InputError(f"Spans {list(spans)} overlap or leave the sequence.", "Give them in reading order, not empty.")
    if any((sequence.ids[start:end] >= vocabulary.content_size).any() for start, end in spans):
        raise InputError("A masked span crosses a <break>.", "Clip it to one segment first.")
    source = np.arange(len(sequence))
    body: list[IntArray] = []
    moved: list[IntArray] = []
    before = 0
    for i, (start, end) in enumerate(spans):
        mask = np.array([-vocabulary.mask(i)])  # negative: an id that is put in; else: an index into the sequence
        body += [source[before:start], mask]
        if i not in forgotten:
            moved += [mask, source[start:end], np.array([-vocabulary.eoss])]
        before = end
    body.append(source[before:])
    order = np.concatenate([*body, *([np.array([-vocabulary.infill])] if moved else []), *moved])
    return _reordered(sequence, order, vocabulary)


def trim(sequence: TokenSequence, length: int, vocabulary: Vocabulary) -> TokenSequence:
    """At most `length` ids: cuts the end of the part that was *not* moved, so that every mask and every target survives.

    Raises InputError where the masks and the targets alone are longer.
    """
    excess = len(sequence) - length
    if excess <= 0:
        return sequence
    infills = np.flatnonzero(sequence.ids == vocabulary.infill)
    end = int(infills[0]) if len(infills) else len(sequence)
    loose = np.flatnonzero(~vocabulary.is_mask(sequence.ids[:end]))
    if len(loose) <= excess:
        raise InputError(
            f"The targets of the infill leave no room for a body in {length} ids.", "Mask less, or use a longer context."
        )
    kept: BoolArray = np.ones(len(sequence), np.bool_)
    kept[loose[len(loose) - excess :]] = False
    return _reordered(sequence, np.flatnonzero(kept), vocabulary)


def _reordered(sequence: TokenSequence, order: IntArray, vocabulary: Vocabulary) -> TokenSequence:
    """`order` holds indexes into the sequence, or ids to put in as their negatives (never 0: structure ids are positive)."""
    put = order < 0
    index = np.where(put, 0, order)
    ids = np.where(put, -order, sequence.ids[index])
    weight = np.where(put, np.where(vocabulary.is_mask(-order), 0.0, 1.0), sequence.loss_weight[index])
    return TokenSequence(
        ids=ids,
        positions=np.arange(len(order)),
        sample=np.full(len(order), sequence.sample[0]),
        part=np.where(put, -1, sequence.part[index]),
        loss_weight=weight.astype(np.float32),
    )
