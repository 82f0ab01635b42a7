"""Kind `selection`: what to ask of a bank, then which of the answers to take."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from calumma.documents.document import Document, IntArray
from calumma.documents.printing import printable
from calumma.interfaces.component import Component
from calumma.interfaces.embedder import Vectors
from calumma.interfaces.noise import Noise
from calumma.interfaces.retriever import Hits, Query

VectorPart = Literal["document", "text", "image"]


class DocumentStore(Protocol):
    """What a selection may read of a bank."""

    def documents(self, keys: Sequence[int]) -> list[Document]:
        """Documents of row keys, in that order."""

    def vectors(self, keys: IntArray, part: VectorPart) -> Vectors:
        """float32 [N, dimension], in the order of `keys`; a row of zeros where a document lacks that part."""


@dataclass(frozen=True, eq=False)
class Retrieved:
    """A document that was taken: its row key, its exact score for the query that found it, and that query's name."""

    document: Document
    key: int
    score: float
    query: str = "text"

    def __repr__(self) -> str:
        said = printable(f"{self.document.id} {self.document.text!r}")
        return f"<Retrieved {self.score:.3f} by {self.query}: {said}, row {self.key}>"


class Selection(Component, ABC):
    """CM3Leon 2.1: relevance, modality, diversity, query dropout. Pure: the same inputs and noise give the same choice.

    Attributes:
        candidates: how many hits to ask for per query (k).
        filters: whether its queries carry `where`; a pipeline then needs a retriever that filters.
    """

    candidates: int = 32
    filters: bool = False

    @abstractmethod
    def queries(self, document: Document, noise: Noise) -> dict[str, Query]:
        """Named queries ("text", "image") without vectors. A document with nothing to ask by gives {}."""

    @abstractmethod
    def select(
        self, document: Document, queries: Mapping[str, Query], hits: Mapping[str, Hits], store: DocumentStore, noise: Noise
    ) -> list[Retrieved]:
        """What to lay before the document, best *last* nearest to it; `queries` have vectors, each `hits` has Q = 1."""
