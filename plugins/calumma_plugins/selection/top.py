"""selection/top: the best hits as they are, without a second thought."""

from __future__ import annotations

from collections.abc import Mapping

from calumma.documents import Document
from calumma.interfaces import DocumentStore, Hits, Noise, Query, Retrieved
from calumma_plugins.selection.asking import AskingSelection, in_turns
from calumma_plugins.selection.options import TopOptions


class TopSelection(AskingSelection):
    """The first documents in the order of the hits; those of several queries take turns."""

    Options = TopOptions
    options: TopOptions

    def __init__(self, options: TopOptions) -> None:
        super().__init__(options)
        self.candidates = options.documents + 1  # one may be the prompt itself

    def select(
        self, document: Document, queries: Mapping[str, Query], hits: Mapping[str, Hits], store: DocumentStore, noise: Noise
    ) -> list[Retrieved]:
        taken: list[Retrieved] = []
        for candidate in in_turns(queries, hits):
            if len(taken) == self.options.documents:
                break
            one = candidate.retrieved(document, store)
            taken += [one] if one is not None else []
        return taken[::-1]
