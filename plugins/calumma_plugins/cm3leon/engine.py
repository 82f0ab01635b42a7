"""How the steps of decoding run: as they are written, or compiled once for all requests."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from calumma.errors import ComponentError, FailedError
from calumma_plugins.cm3leon.model import Cache, Transformer
from calumma_plugins.cm3leon.packing import PackedWeights, Product, can_pack, define_operator, dense

BUCKET = 64  # capacities and extents are multiples of it, so that few shapes occur
WARM_ROWS = (1, 2)  # compilers treat one row apart from several; after these two no request compiles anything

Step = Callable[[Tensor, Tensor, Tensor, list[Tensor], list[Tensor], Tensor, Tensor], Tensor]


class Engine:
    """Runs prefill and steps of a model, with the weights that it has when the engine is made.

    Args:
        compiled: have torch compile the step of one id a row, for any number of rows, any length and any capacity. Takes a
            C++ compiler and half a minute, once; torch keeps the result on disk.
        release: let the model go without its weights where they are packed, until `restore`.

    Raises:
        ComponentError: no compiler is there.
    """

    def __init__(self, model: Transformer, *, compiled: bool, release: bool = False) -> None:
        self.model = model
        weight = model.embed.weight
        packs = can_pack(weight.device.type, weight.dtype)
        self._packed = PackedWeights(model.matrices, release=release) if packs else None
        self._product: Product = self._packed or dense
        self._one: Step | None = None
        if compiled:
            define_operator()
            self._one = torch.compile(self._step, dynamic=True, fullgraph=True)
            self._warm_up()

    def restore(self) -> None:
        """Gives the model its weights back, if they were released."""
        if self._packed:
            self._packed.restore()

    def append(self, ids: Tensor, held: int, cache: Cache) -> Tensor:
        """Appends ids [B, T], padded on the right, to rows that all hold `held`; hidden [B, T, W]."""
        return self.model.append(ids, held, cache, self._product)

    def head(self, hidden: Tensor) -> Tensor:
        """Hidden [..., W] -> logits float32 [..., V]."""
        return self.model.head(hidden, self._product)

    def extend(self, ids: Tensor, lengths: Tensor, valid: Tensor, cache: Cache) -> Tensor:
        """Appends ids [B, T], the first valid[i] of row i, behind the lengths[i] that it holds; logits float32 [B, T, V]."""
        step, held, counts = ids.shape[1], lengths.tolist(), valid.tolist()
        compiled = self._one if step == 1 else None
        if compiled is None and len({*held}) == 1 and {*counts} == {step}:
            return self.head(self.append(ids, held[0], cache))
        longest = max(n + more for n, more in zip(held, counts, strict=True))
        reach = torch.arange(min(bucketed(longest), cache.capacity), device=ids.device)
        return (compiled or self._step)(ids, lengths, valid, cache.keys, cache.values, cache.hidden, reach)

    def _step(
        self,
        ids: Tensor,
        lengths: Tensor,
        valid: Tensor,
        keys: list[Tensor],
        values: list[Tensor],
        hidden: Tensor,
        reach: Tensor,
    ) -> Tensor:
        cache = Cache(keys, values, hidden)
        return self.head(self.model.extend(ids, lengths, valid, cache, reach, self._product))

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
                self.extend(ids, 3 * ones, ones, cache)
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
