"""Slots beside the fixed ones: which names they may have, and how those that are finishers are applied."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from calumma.documents import Document, Pixels
from calumma.errors import CalummaError, ComponentError
from calumma.interfaces import Component, Finisher, Noise
from calumma.pipeline.images import what_it_is
from calumma.registry.pipelines import REQUIRED


def check_extra(extra: Mapping[str, Component]) -> None:
    """Raises ComponentError where an extra slot has the name of a fixed one, or holds no component."""
    for slot, part in extra.items():
        if slot in (*REQUIRED, "bank"):
            raise ComponentError(f"The slot {slot!r} is every pipeline's own.", "Give the extra slot another name.")
        if not isinstance(part, Component):
            raise ComponentError(f"The slot {slot!r} holds {part!r:.80}, which is no component.", "Put a component into it.")


def finished(image: Pixels, extra: Mapping[str, Component], document: Document, noise: Noise, sample: int) -> Pixels:
    """The picture after every finisher, in the order of the slots. Raises ComponentError naming the one that fails."""
    for slot, part in extra.items():
        if isinstance(part, Finisher):
            image = _applied(part, slot, image, document, noise, sample)
    return image


def _applied(part: Finisher, slot: str, image: Pixels, document: Document, noise: Noise, sample: int) -> Pixels:
    try:
        given = part.finish(image, document, noise, sample)
    except CalummaError:
        raise
    except Exception as error:
        raise ComponentError(
            f"{part.id} in the slot {slot!r} failed: {type(error).__name__}: {error}", "See the cause with --debug."
        ) from error
    if not (isinstance(given, np.ndarray) and given.dtype == np.uint8 and given.ndim == 3 and given.shape[2] == 3):
        raise ComponentError(
            f"{part.id} in the slot {slot!r} returned {what_it_is(given)}, not a picture uint8 [H, W, 3].",
            "Mend or upgrade its plugin.",
        )
    if not given.size:
        raise ComponentError(f"{part.id} in the slot {slot!r} returned a picture of no pixels.", "Mend or upgrade its plugin.")
    return given
