"""selection/cm3leon: relevance, modality, diversity and query dropout (Yu et al. 2023, arXiv:2309.02591, section 2.1)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from calumma.documents import Document
from calumma.interfaces import DocumentStore, Hits, Noise, Query, Retrieved, Vectors
from calumma_plugins.selection.asking import AskingSelection, Candidate, candidates_of, keys_of, products
from calumma_plugins.selection.options import CM3LeonOptions

DROPOUT, CHOICE = 11, 12  # the purposes under which noise is drawn
PARTS: tuple[Literal["text", "image"], ...] = ("text", "image")


@dataclass(frozen=True, eq=False)
class _Weighed:
    """A hit below every cap; `both`: it has text and image; `vector` is the document's."""

    candidate: Candidate
    both: bool
    vector: Vectors


class CM3LeonSelection(AskingSelection):
    """Documents of both modalities before those of one, then the earlier hit; text and image queries take turns."""

    Options = CM3LeonOptions
    options: CM3LeonOptions

    def __init__(self, options: CM3LeonOptions) -> None:
        super().__init__(options)
        self.candidates = options.candidates

    def kept(self, words: list[str], noise: Noise) -> list[str]:
        """All but those that query dropout takes; one always stays."""
        if not self.options.query_dropout:
            return words
        draws = noise.uniform(0, 0, len(words), DROPOUT)
        kept = [word for word, draw in zip(words, draws, strict=True) if draw >= self.options.query_dropout]
        return kept or [words[int(np.argmax(draws))]]

    def select(
        self, document: Document, queries: Mapping[str, Query], hits: Mapping[str, Hits], store: DocumentStore, noise: Noise
    ) -> list[Retrieved]:
        """At most `documents`, the one taken first (the best) last."""
        turns = [self._weighed(name, queries, hits[name], store) for name in queries if name in hits]
        at_random = self.options.choose == "random"
        most = self.options.per_query * len(turns) if at_random else self.options.documents
        taken: list[tuple[Retrieved, Vectors]] = []
        by = Counter[str]()
        for both in (True, False):  # modality: first the documents with text and image
            waiting = [iter([one for one in ranked if one.both is both]) for ranked in turns]
            while waiting and len(taken) < most:
                ranked = waiting.pop(0)
                found = next((one for one in ranked if self._differs(one, taken)), None)
                if found is None or by[found.candidate.query] == self.options.per_query:
                    continue
                one = found.candidate.retrieved(document, store)
                if one is None:
                    waiting.insert(0, ranked)  # its turn is not over
                    continue
                by[one.query] += 1
                taken.append((one, found.vector))
                waiting.append(ranked)
        places = self._drawn(len(taken), noise) if at_random else range(len(taken))
        return [taken[place][0] for place in reversed(places)]

    def _drawn(self, count: int, noise: Noise) -> list[int]:
        """`documents` places of `count`, each set of them as likely as any other, in order."""
        order = np.argsort(noise.uniform(0, 0, count, CHOICE))
        return sorted(order[: self.options.documents].tolist())

    def _differs(self, one: _Weighed, taken: list[tuple[Retrieved, Vectors]]) -> bool:
        near = np.array([one.vector @ vector for _, vector in taken], np.float32)
        same = any(one.candidate.key == other.key for other, _ in taken)
        return not same and not _above(near, self.options.diversity_cap).any()

    def _weighed(self, name: str, queries: Mapping[str, Query], hits: Hits, store: DocumentStore) -> list[_Weighed]:
        """Hits below every cap, best first."""
        candidates = candidates_of(name, hits)
        if not candidates:
            return []
        keys, vector = keys_of(candidates), queries[name].vector
        documents = store.vectors(keys, "document")
        parts = {part: store.vectors(keys, part) for part in PARTS}
        close = np.zeros(len(keys), bool)
        if vector is not None:
            close |= _above(products(documents, vector), self.options.score_cap)
        for part in PARTS:
            query = queries.get(part)
            if query is not None and query.vector is not None:
                close |= _above(parts[part] @ query.vector, self.options.part_cap)
        both = np.linalg.norm(parts["text"], axis=1) * np.linalg.norm(parts["image"], axis=1) > 0
        return [_Weighed(one, bool(both[i]), documents[i]) for i, one in enumerate(candidates) if not close[i]]


def _above(values: Vectors, cap: float) -> npt.NDArray[np.bool_]:
    """A cap of 1 skips none, although rounding takes a product a little above it."""
    return np.asarray(values > (cap if cap < 1 else np.inf))
