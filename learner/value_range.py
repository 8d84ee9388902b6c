"""What a value can be, told by the transitions alone."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


class ValueRange:
    """The values that any policy can reach with transitions like those seen so far.

    A transition of reward r and discount d repeated for ever is worth r / (1 - d), and no mixture of transitions is
    worth more than the best or less than the worst of them: from V <= max r / (1 - d) follows r + d V <= V. So neither
    gamma nor n need be known. 0, where nothing more is to come, always belongs to the range.

    Q-values that bootstrap from themselves can grow without limit; targets inside this range cannot.
    """

    def __init__(self) -> None:
        self.low = 0.0
        self.high = 0.0

    def widen(self, reward: NDArray[np.float32], discount: NDArray[np.float32]) -> None:
        """Takes transitions `[B]` into account. A discount of 1 sets no limit, and a non-finite row lifts both limits:
        the TD error is to show it.
        """
        if not (np.isfinite(reward).all() and np.isfinite(discount).all()):
            self.low, self.high = -math.inf, math.inf
            return
        with np.errstate(divide="ignore", invalid="ignore"):
            for_ever = reward.astype(np.float64) / (1.0 - discount.astype(np.float64))
        self.low = min(self.low, float(np.nanmin(for_ever, initial=math.inf)))
        self.high = max(self.high, float(np.nanmax(for_ever, initial=-math.inf)))

    def clamp(self, value: Tensor) -> Tensor:
        """`[B]` -> `[B]`; a NaN stays one."""
        return value.clamp(self.low, self.high)
