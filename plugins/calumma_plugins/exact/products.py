"""Inner products of queries and a block of rows, by NumPy or on any device of torch: which rows may be among the best."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from calumma.documents import BoolArray, IntArray
from calumma.interfaces import Vectors

if TYPE_CHECKING:
    import torch

FloatArray = npt.NDArray[np.float32]


class Products(Protocol):
    """Scores in float32, each within `slack` of the true inner product."""

    def likely(
        self,
        queries: Vectors,
        start: int,
        rows: Vectors,
        allowed: BoolArray | None,
        floors: FloatArray,
        slack: FloatArray,
        k: int,
    ) -> tuple[IntArray, IntArray]:
        """(numbers of queries, numbers of rows in the block), int64 [C] each: all that may be among a query's k best.

        Args:
            queries: float32 [Q, D]. rows: float32 [B, D], the block that begins at row `start`.
            allowed: bool [B], the rows that count; None: all.
            floors: float32 [Q], true scores that a row must reach; -inf where there is none yet. slack: float32 [Q].
        """


class NumpyProducts:
    """On the CPU."""

    def likely(
        self,
        queries: Vectors,
        start: int,
        rows: Vectors,
        allowed: BoolArray | None,
        floors: FloatArray,
        slack: FloatArray,
        k: int,
    ) -> tuple[IntArray, IntArray]:
        some = None if allowed is None else np.flatnonzero(allowed)
        if some is not None and len(some) < len(rows) // 2:  # so few that copying them is less work than scoring all
            numbers, places = self.likely(queries, start, rows[some], None, floors, slack, k)
            return numbers, some[places]
        scores = queries @ rows.T
        if allowed is not None:
            scores[:, ~allowed] = -np.inf
        least = floors - slack
        if len(rows) > k and np.isneginf(floors).any():
            least = np.maximum(least, np.partition(scores, -k, axis=1)[:, -k] - 2 * slack)
        numbers, places = np.nonzero((scores >= least[:, None]) & (scores > -np.inf))
        return numbers, places


class TorchProducts:
    """On a device that keeps a copy of each block."""

    def __init__(self, device: str) -> None:
        self.device = device
        self._blocks: dict[tuple[int, int], torch.Tensor] = {}

    def forget(self) -> None:
        """The rows changed."""
        self._blocks.clear()

    def likely(
        self,
        queries: Vectors,
        start: int,
        rows: Vectors,
        allowed: BoolArray | None,
        floors: FloatArray,
        slack: FloatArray,
        k: int,
    ) -> tuple[IntArray, IntArray]:
        import torch

        def there(array: npt.NDArray[np.generic]) -> torch.Tensor:
            return torch.from_numpy(np.array(array)).to(self.device)

        block = self._blocks.get((start, len(rows)))
        if block is None:
            block = self._blocks[start, len(rows)] = there(rows)
        asked = there(queries)
        if torch.get_float32_matmul_precision() != "highest":  # products of shortened numbers are further off than `slack`
            block, asked = block.double(), asked.double()
        scores = asked @ block.T
        if allowed is not None:
            scores[:, ~there(allowed)] = -torch.inf
        least = there(floors - slack)
        if len(rows) > k and np.isneginf(floors).any():
            least = torch.maximum(least, torch.topk(scores, k, dim=1).values[:, -1] - 2 * there(slack))
        found = ((scores >= least[:, None]) & (scores > -torch.inf)).nonzero().cpu().numpy()
        return found[:, 0], found[:, 1]
