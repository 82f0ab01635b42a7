"""selection/random: documents drawn from the hits, the control that shows what a better choice is worth."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from calumma.documents import Document
from calumma.interfaces import DocumentStore, Hits, Noise, Query, Retrieved
from calumma_plugins.selection.asking import AskingSelection, in_turns
from calumma_plugins.selection.options import RandomOptions

DRAW = 13  # the purpose under which noise is drawn


class RandomSelection(AskingSelection):
    """Each set of `documents` hits is as likely as any other; those that are drawn keep the order of the hits."""

    Options = RandomOptions
    options: RandomOptions

    def __init__(self, options: RandomOptions) -> None:
        super().__init__(options)
        self.candidates = options.pool

    def select(
        self, document: Document, queries: Mapping[str, Query], hits: Mapping[str, Hits], store: DocumentStore, noise: Noise
    ) -> list[Retrieved]:
        pool = in_turns(queries, hits)
        drawn: dict[int, Retrieved] = {}
        for place in np.argsort(noise.uniform(0, 0, len(pool), DRAW)).tolist():
            if len(drawn) == self.options.documents:
                break
            one = pool[place].retrieved(document, store)
            if one is not None:
                drawn[place] = one
        return [drawn[place] for place in sorted(drawn, reverse=True)]
