"""Weights in the blocked layout of oneDNN, which reads them two to five times faster than rows when few rows are multiplied.

On a CPU a step of decoding waits for the weights to come from memory, so their layout decides its speed. torch has the layout
and the product (Inductor's freezing uses both), but picks MKL's for one row in float32, which is slow on other makes of CPU.
"""

from __future__ import annotations

import itertools
import weakref
from functools import cache
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from calumma.interfaces import Device

ROWS = 8  # the layout is chosen for about so many rows at once; it is as fast for one

Matrix = nn.Linear | nn.Embedding


class Product(Protocol):
    """x [..., K] times the weight [N, K] of a module, through GELU if asked, plus `add` [..., N] if given: [..., N]."""

    def __call__(self, module: Matrix, x: Tensor, *, gelu: bool = False, add: Tensor | None = None) -> Tensor: ...


_packed: dict[int, Tensor] = {}
_numbers = itertools.count()


def _product(x: Tensor, number: int, width: int, gelu: bool, add: Tensor | None) -> Tensor:
    found: Tensor
    linear = torch.ops.mkldnn._linear_pointwise
    if add is None:
        found = linear.default(x, _packed[number], None, "gelu" if gelu else "none", [], "none")
    else:
        found = linear.binary(x, add, _packed[number], None, "add")
    return found


def _shape(x: Tensor, number: int, width: int, gelu: bool, add: Tensor | None) -> Tensor:
    return x.new_empty(*x.shape[:-1], width)


@cache
def define_operator() -> None:
    """Makes the product known to torch as an operator, which a compiler does not look into."""
    schema = "(Tensor x, int number, int width, bool gelu, Tensor? add) -> Tensor"
    operator = torch.library.custom_op("calumma_cm3leon::product", _product, mutates_args=(), schema=schema)
    operator.register_fake(_shape)


def dense(module: Matrix, x: Tensor, *, gelu: bool = False, add: Tensor | None = None) -> Tensor:
    """The `Product` with the weights as they are."""
    found = F.linear(x, module.weight)
    found = F.gelu(found) if gelu else found
    return found if add is None else add + found


def can_pack(device: Device, dtype: torch.dtype) -> bool:
    """Whether this machine has the layout and its product."""
    if device != "cpu" or not torch._C._has_mkldnn:
        return False
    return dtype == torch.float32 or (dtype == torch.bfloat16 and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()))


class PackedWeights:
    """A `Product` with packed copies of matrices, as their weights are now.

    Args:
        release: let go of the weights of the linear layers, so that they are in memory once; `restore` brings them back.
    """

    def __init__(self, matrices: list[Matrix], *, release: bool) -> None:
        self._released = [module for module in matrices if release and isinstance(module, nn.Linear)]
        self._at: dict[Matrix, tuple[int, int]] = {}
        for module in matrices:
            if type(module.weight.data) is not Tensor:  # quantised: it has a product of its own
                continue
            number = next(_numbers)
            _packed[number] = torch.ops.mkldnn._reorder_linear_weight(module.weight.detach(), ROWS)
            self._at[module] = number, module.weight.shape[0]
            if module in self._released:
                module.weight.data = module.weight.data.new_empty(0)
        weakref.finalize(self, _forget, [number for number, _ in self._at.values()])

    def __call__(self, module: Matrix, x: Tensor, *, gelu: bool = False, add: Tensor | None = None) -> Tensor:
        if module not in self._at or (gelu and add is not None):
            return dense(module, x, gelu=gelu, add=add)
        product = torch.ops.calumma_cm3leon.product if torch.compiler.is_compiling() else _product
        found: Tensor = product(x, *self._at[module], gelu, add)
        return found

    def restore(self) -> None:
        """Gives the linear layers their weights back, bit by bit as they were."""
        for module in self._released:
            if module in self._at:
                module.weight.data = _packed[self._at[module][0]].to_dense()
        self._released = []


def _forget(numbers: list[int]) -> None:
    for number in numbers:
        del _packed[number]
