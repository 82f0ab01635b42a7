"""What is asked of a pipeline at once, checked before any work is done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from calumma.documents import Document, Pixels, Task
from calumma.errors import InputError
from calumma.interfaces import Retrieved

BATCH = 32  # rows drawn at a time
LAST = 2**31  # no sample has this number or a larger one


@dataclass(frozen=True, eq=False)
class Request:
    """The hole of each document, filled n times. Raises InputError for numbers out of range.

    Attributes:
        n: how many outcomes are kept of each document. first: the number of the first of them.
        best_of: samples that are drawn for one outcome: outcome g is the best of g * best_of .. g * best_of + best_of - 1.
        retrieved: documents to lay before each document, instead of asking the bank.
        batch: rows drawn at a time.
        preview: whether pictures are shown while they are drawn.
        paste: applied to each picture, and to each partial one, before the finishers.
    """

    task: Task
    documents: Sequence[Document]
    n: int = 1
    seed: int = 0
    first: int = 0
    best_of: int = 1
    retrieved: Sequence[Sequence[Retrieved]] | None = None
    batch: int = BATCH
    preview: bool = False
    paste: Callable[[Pixels], Pixels] | None = None

    def __post_init__(self) -> None:
        if self.n < 1:
            raise InputError(f"Cannot draw {self.n} samples.", "Ask for at least one (-n 1).")
        if not 0 <= self.seed < 2**63:
            raise InputError(f"The seed {self.seed} is not a whole number from 0 to 2**63 - 1.", "Pick another seed.")
        if self.best_of < 1:
            raise InputError(f"Cannot keep the best of {self.best_of} samples.", "Draw at least one of each (best_of=1).")
        if self.first < 0 or (self.first + self.n) * self.best_of > LAST:
            raise InputError(
                f"There are no samples {self.first * self.best_of} to {(self.first + self.n) * self.best_of - 1}.",
                "Sample numbers go from 0 to 2**31 - 1.",
            )
        if self.batch < 1:
            raise InputError(f"Cannot draw {self.batch} samples at a time.", "Let the batch be 1 or more.")
        if self.retrieved is not None and len(self.retrieved) != len(self.documents):
            raise InputError(
                f"{len(self.retrieved)} lists were retrieved for {len(self.documents)} prompts.", "Give one for each."
            )

    @property
    def outcomes(self) -> range:
        """The numbers of what is kept of each document."""
        return range(self.first, self.first + self.n)

    def samples(self, outcome: int) -> range:
        """The samples of which an outcome is the best."""
        return range(outcome * self.best_of, (outcome + 1) * self.best_of)

    @property
    def rows(self) -> list[tuple[int, int]]:
        """(index of the document, sample) of all that is drawn, in the order of drawing."""
        each = range(self.first * self.best_of, (self.first + self.n) * self.best_of)
        return [(index, sample) for index in range(len(self.documents)) for sample in each]
