"""How the steps of decoding run: as they are written, or compiled once for all requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from calumma.errors import ComponentError, FailedError
from calumma_plugins.cm3leon.model import Cache, Transformer

BUCKET = 64  # capacities and extents are multiples of it, so that few shapes occur
WARM_ROWS = (1, 2)  # compilers treat one row apart from several; after these two no request compiles anything

Step = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]


class Engine:
    """Runs prefill and steps of a model.

    Args:
        compiled: have torch compile the step of one id a row, for any number of rows, any length and any capacity. On a
            CPU the weights are frozen into it, in the layout that its kernels like best. Takes a C++ compiler and
            minutes, once; torch keeps the result on disk.

    Raises:
        ComponentError: no compiler is there.
    """

    def __init__(self, model: Transformer, *, compiled: bool) -> None:
        self.model = model
        self._one: Step = self._step
        if compiled:
            options: dict[str, str | int | bool | Callable[..., Any]] = (
                {"freezing": True} if model.embed.weight.device.type == "cpu" else {}
            )
            self._one = torch.compile(self._step, dynamic=True, fullgraph=True, options=options)
            self._warm_up()

    def prefill(self, ids: Tensor, cache: Cache) -> None:
        """Fills an empty cache with rows int64 [B, L], padded on the right."""
        self.model.prefill(ids, cache)

    def extend(self, ids: Tensor, lengths: Tensor, valid: Tensor, cache: Cache, longest: int) -> Tensor:
        """Appends ids [B, T], the first valid[i] of row i, behind the lengths[i] that it holds; logits float32 [B, T, V].

        Args:
            longest: ids of the longest row afterwards.
        """
        reach = torch.arange(min(bucketed(longest), cache.capacity), device=ids.device)
        run = self._one if ids.shape[1] == 1 else self._step
        return run(ids, lengths, valid, cache.slots, cache.hidden, reach)

    def _step(self, ids: Tensor, lengths: Tensor, valid: Tensor, slots: Tensor, hidden: Tensor, reach: Tensor) -> Tensor:
        return self.model.head(self.model.extend(ids, lengths, valid, Cache(slots, hidden), reach))

    @torch.no_grad()
    def _warm_up(self) -> None:
        device, context = self.model.embed.weight.device, self.model.config.context
        try:
            for rows in WARM_ROWS:
                cache = self.model.new_cache(rows, min(2 * BUCKET, context))
                ids, ones = (
                    torch.zeros(rows, 1, dtype=torch.int64, device=device),
                    torch.ones(rows, dtype=torch.int64, device=device),
                )
                self.extend(ids, 3 * ones, ones, cache, 4)
        except Exception as error:
            if "compiler" in str(error).lower():
                raise ComponentError(
                    "`compile` needs a C++ compiler, and torch found none.", "Install g++ or clang, or leave `compile` out."
                ) from error
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise FailedError(f"torch could not compile the decoder: {first}", "Leave `compile` out.") from error


def bucketed(count: int) -> int:
    """The next multiple of 64."""
    return -(-count // BUCKET) * BUCKET
