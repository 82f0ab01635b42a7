"""selection/cm3leon: relevance, modality, diversity and query dropout (Yu et al. 2023, arXiv:2309.02591, section 2.1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from calumma.documents import Document
from calumma.interfaces import DocumentStore, Hits, Noise, Query, Retrieved, Selection, Vectors
from calumma_plugins.selection.options import CM3LeonOptions

DROPOUT = 11  # the purpose under which noise is drawn
PARTS: tuple[Literal["text", "image"], ...] = ("text", "image")


@dataclass(frozen=True, eq=False)
class _Candidate:
    """A hit of the query `query`; `both`: it has text and image; `vector` is the document's."""

    key: int
    score: float
    query: str
    both: bool
    vector: Vectors


class CM3LeonSelection(Selection):
    """Documents of both modalities before those of one, then the higher score; text and image queries take turns."""

    Options = CM3LeonOptions
    options: CM3LeonOptions

    def __init__(self, options: CM3LeonOptions) -> None:
        super().__init__(options)
        self.candidates = options.candidates

    def queries(self, document: Document, noise: Noise) -> dict[str, Query]:
        """By the texts, and by the first picture that has pixels; one that is partly masked is not asked by."""
        asked: dict[str, Query] = {}
        words = document.text.split()
        if words and self.options.by != "image":
            asked["text"] = Query(text=" ".join(self._dropped(words, noise)))
        image = document.image
        if image is not None and image.pixels is not None and image.masked is None and self.options.by != "text":
            asked["image"] = Query(image=image.pixels)
        return asked

    def select(
        self, document: Document, queries: Mapping[str, Query], hits: Mapping[str, Hits], store: DocumentStore, noise: Noise
    ) -> list[Retrieved]:
        """At most `documents`, the one taken first (the best) last."""
        turns = [self._candidates(name, queries, hits[name], store) for name in queries if name in hits]
        taken: list[tuple[Retrieved, Vectors]] = []
        for both in (True, False):  # modality: first the documents with text and image
            waiting = [iter([one for one in ranked if one.both is both]) for ranked in turns]
            while waiting and len(taken) < self.options.documents:
                ranked = waiting.pop(0)
                found = next((one for one in ranked if self._differs(one, taken)), None)
                if found is None:
                    continue
                (one,) = store.documents([found.key])
                if document.id is not None and one.id == document.id:
                    waiting.insert(0, ranked)  # its turn is not over
                    continue
                taken.append((Retrieved(one, found.key, found.score, found.query), found.vector))
                waiting.append(ranked)
        return [one for one, _ in reversed(taken)]

    def _differs(self, candidate: _Candidate, taken: list[tuple[Retrieved, Vectors]]) -> bool:
        products = np.array([candidate.vector @ vector for _, vector in taken], np.float32)
        same = any(candidate.key == one.key for one, _ in taken)
        return not same and not _above(products, self.options.diversity_cap).any()

    def _candidates(self, name: str, queries: Mapping[str, Query], hits: Hits, store: DocumentStore) -> list[_Candidate]:
        """Hits below every cap, best first."""
        count = int(hits.counts[0])
        if not count:
            return []
        keys, scores = hits.keys[0, :count], hits.scores[0, :count]
        parts = {part: store.vectors(keys, part) for part in PARTS}
        close = _above(scores, self.options.score_cap)
        for part in PARTS:
            query = queries.get(part)
            if query is not None and query.vector is not None:
                close |= _above(parts[part] @ query.vector, self.options.part_cap)
        both = np.linalg.norm(parts["text"], axis=1) * np.linalg.norm(parts["image"], axis=1) > 0
        documents = store.vectors(keys, "document")
        order = np.lexsort((keys, -scores))
        return [_Candidate(int(keys[i]), float(scores[i]), name, bool(both[i]), documents[i]) for i in order if not close[i]]

    def _dropped(self, words: list[str], noise: Noise) -> list[str]:
        if not self.options.query_dropout:
            return words
        draws = noise.uniform(0, 0, len(words), DROPOUT)
        kept = [word for word, draw in zip(words, draws, strict=True) if draw >= self.options.query_dropout]
        return kept or [words[int(np.argmax(draws))]]


def _above(values: Vectors, cap: float) -> npt.NDArray[np.bool_]:
    """A cap of 1 skips none, although rounding takes a product a little above it."""
    return np.asarray(values > (cap if cap < 1 else np.inf))
