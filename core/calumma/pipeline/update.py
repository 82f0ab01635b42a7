"""What a request tells while it is answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import PIL.Image

from calumma.interfaces import Progress
from calumma.pipeline.result import Result


@dataclass(frozen=True, eq=False)
class Update:
    """How far a request is, after one step of the sampler; and, at the very end, its result.

    Attributes:
        progress: of the samples that are drawn together now; None in the last update.
        finished, n: outcomes that are finished, and that were asked for.
        share: how much of the whole request is drawn, from 0 to 1.
        tokens: ids drawn so far, of all samples.
        row, rows: the row of the picture's code grid that the slowest sample is at, from 1, and the number of rows that are
            drawn; 0 and 0 where texts are drawn.
        drawn: sample -> its picture, for those that this step finished.
        images: sample -> its picture so far, for those that are drawn together now, grey where nothing is drawn yet; given
            with `preview=True` each time that a row is complete, else None.
        result: what the request gave; None until the last update.
    """

    progress: Progress | None
    finished: int
    n: int
    share: float
    tokens: int
    row: int = 0
    rows: int = 0
    drawn: Mapping[int, PIL.Image.Image] = field(default_factory=dict)
    images: Mapping[int, PIL.Image.Image] | None = None
    result: Result | None = None

    def __repr__(self) -> str:
        rows = f"row {self.row} of {self.rows}, " if self.rows else ""
        return f"<Update {rows}{self.finished} of {self.n} finished, {self.tokens} tokens, {self.share:.0%}>"
