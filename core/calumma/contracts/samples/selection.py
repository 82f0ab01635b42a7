"""A selection in a few lines: the best documents, each once, by whichever query scores them higher."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from calumma.documents import Document
from calumma.interfaces import DocumentStore, Hits, Noise, Options, Query, Retrieved, Selection


class BestOptions(Options):
    documents: int = Field(3, ge=0, le=16, description="The most documents to take.", json_schema_extra={"meaning": True})


class BestSelection(Selection):
    """Takes what scores highest."""

    Options = BestOptions
    options: BestOptions

    def queries(self, document: Document, noise: Noise) -> dict[str, Query]:
        asked: dict[str, Query] = {}
        if document.text.split():
            asked["text"] = Query(text=" ".join(document.text.split()))
        image = document.image
        if image is not None and image.pixels is not None and image.masked is None:
            asked["image"] = Query(image=image.pixels)
        return asked

    def select(
        self, document: Document, queries: Mapping[str, Query], hits: Mapping[str, Hits], store: DocumentStore, noise: Noise
    ) -> list[Retrieved]:
        found = [
            (-float(one.scores[0, place]), int(one.keys[0, place]), name)
            for name, one in hits.items()
            for place in range(int(one.counts[0]))
        ]
        taken: dict[int, Retrieved] = {}
        for score, key, name in sorted(found):
            if len(taken) == self.options.documents:
                break
            (one,) = store.documents([key])
            if key not in taken and (document.id is None or one.id != document.id):
                taken[key] = Retrieved(one, key, -score, name)
        return list(taken.values())[::-1]
