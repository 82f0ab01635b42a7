"""Counter-based randomness: what is drawn depends on (seed, sample, position) alone, never on batch, order or resume."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Noise:
    """Philox (Salmon et al. 2011) keyed by (seed, sample); the counter holds position and purpose.

    Args:
        seed: 0 <= seed < 2**63.
    """

    seed: int

    def uniform(self, sample: int, position: int, size: int, purpose: int = 0) -> npt.NDArray[np.float64]:
        """`size` numbers in [0, 1) for one sample at one position. Other purposes give independent numbers."""
        bits = np.random.Philox(key=[self.seed, sample], counter=[0, 0, position, purpose])
        return np.random.Generator(bits).random(size)

    def gumbel(self, sample: int, position: int, size: int, purpose: int = 0) -> npt.NDArray[np.float64]:
        """Standard Gumbel noise, so that argmax(log p + g) is a draw from p."""
        uniform = np.clip(self.uniform(sample, position, size, purpose), np.finfo(np.float64).tiny, None)
        return np.asarray(-np.log(-np.log(uniform)))
