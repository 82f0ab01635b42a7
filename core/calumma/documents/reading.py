"""CM3Leon's sequences read back: spans that were moved to the end return to their masks, then segments come apart."""

from __future__ import annotations

import numpy as np

from calumma.documents.document import IntArray, Modality
from calumma.documents.vocabulary import Vocabulary
from calumma.errors import InputError


def read(ids: IntArray, vocabulary: Vocabulary) -> list[tuple[Modality, IntArray]]:
    """The segments of one sequence without retrieved documents; an empty one is a text. Raises InputError if malformed."""
    v = vocabulary
    ids = ids[: len(ids) - _run_at_end(ids, v.pad)]
    if len(ids) and ids[0] == v.eos:
        ids = ids[1:]
    body = _restored(ids, v)
    if len(body) and body[-1] == v.eos:
        body = body[:-1]
    segments: list[tuple[Modality, IntArray]] = []
    for content in np.split(body, np.flatnonzero(body == v.break_)):
        inner = content[1:] if len(content) and content[0] == v.break_ else content
        if v.is_text(inner).all():
            segments.append(("text", inner))
        elif v.is_image(inner).all():
            segments.append(("image", inner))
        else:
            strange = [v.name(int(id)) for id in inner[~v.is_text(inner)][:3]]
            raise InputError(f"A segment mixes text with {', '.join(strange)}.", "Decode a whole sequence of this layout.")
    return segments


def _restored(ids: IntArray, v: Vocabulary) -> IntArray:
    """The body with every span in the place of its mask."""
    infills = np.flatnonzero(ids == v.infill)
    if not len(infills):
        return ids
    body = ids[: infills[0]]
    moved = ids[infills[0] + 1 :]
    for span in np.split(moved, np.flatnonzero(moved == v.eoss) + 1):
        if not len(span):
            continue
        place = np.flatnonzero(body == span[0])
        if not v.is_mask(span[:1])[0] or span[-1] != v.eoss or len(place) != 1:
            raise InputError("What follows <infill> is not `<mask:i> span <eoss>`.", "Decode a whole sequence of this layout.")
        body = np.concatenate([body[: place[0]], span[1:-1], body[place[0] + 1 :]])
    return body


def _run_at_end(ids: IntArray, id: int) -> int:
    others = np.flatnonzero(ids != id)
    return len(ids) - (int(others[-1]) + 1 if len(others) else 0)
