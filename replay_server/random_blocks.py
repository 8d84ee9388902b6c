"""Uniform random numbers out of blocks: a call of numpy's generator costs more than the numbers for a minibatch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_BLOCK = 2**15


class RandomBlocks:
    """`random` as numpy's Generator has it, out of blocks."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._block: NDArray[np.float64] = np.zeros(0)
        self._used = 0

    def random(self, size: int) -> NDArray[np.float64]:
        """`[size]`, in [0, 1). The array is a view that is not used again."""
        if self._used + size > len(self._block):
            self._block = self._rng.random(max(_BLOCK, size))
            self._used = 0
        first, self._used = self._used, self._used + size
        return self._block[first : self._used]
