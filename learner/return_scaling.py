"""Values of one size, whatever the environment's unit of reward: by the size of the returns that were seen.

Adam moves Q-values by about the same amount in a step, however large rewards are, and Huber's delta is a fixed number.
So a rate that lets values of 100 be learnt soon makes those of 1 jump, and a delta that fits rewards of 1 takes a crash
that costs 100 for noise. Here values are learnt in units of the size of returns: to count rewards in another currency
changes nothing. https://arxiv.org/abs/1602.07714 does so for the targets themselves; rewards cannot run away with the
values that are learnt from them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from learner.network import QNetwork

_MEMORY_ROWS = 200_000  # what is older counts ever less
_RANGE = 10.0  # no reward is more than so many sizes: else the first one of a rare kind would be huge
_UNITS = 100.0  # returns are of this size to the network
_LONGEST = 1e3  # transitions that a reward has an effect on, at most


class ReturnSize:
    """Root mean square of the discounted return, by what single transitions tell of it.

    Of the return G = r + d G' of rewards r and discounts d that were alike everywhere: its mean is E[r] / (1 - E[d]),
    and its variance (V[r] + V[d] E[G]^2) / (1 - E[d^2]). Both n-step sums and ends of episodes are in r and d.
    """

    def __init__(self) -> None:
        self._rows = 0.0
        self._moments = np.zeros(4)  # means of r, r * r, d, d * d
        self._largest = 0.0

    def see(self, reward: NDArray[np.float32], discount: NDArray[np.float32]) -> None:
        """Takes transitions `[N]` into account."""
        rewards, discounts = reward.astype(np.float64), discount.astype(np.float64)
        moments = np.array([column.mean() for column in (rewards, rewards**2, discounts, discounts**2)])
        share = len(reward) / (self._rows + len(reward))
        self._rows = min(self._rows + len(reward), _MEMORY_ROWS)
        self._moments += share * (moments - self._moments)
        self._largest = max(self._largest, float(np.abs(rewards).max()))

    @property
    def size(self) -> float:
        """0 before the first reward that is not 0."""
        reward, squared_reward, discount, squared_discount = self._moments
        mean = reward / max(1 - discount, 1 / _LONGEST)
        of_step = max(0.0, squared_reward - reward**2) + max(0.0, squared_discount - discount**2) * mean**2
        variance = of_step / max(1 - squared_discount, 1 / _LONGEST)
        return max(float(np.sqrt(mean**2 + variance)), self._largest / _RANGE)


class ReturnScaler:
    """Keeps the networks' unit of value at the size of returns. Their functions stay the same while it moves."""

    def __init__(self, networks: Sequence[QNetwork], *, fresh: bool) -> None:
        """`fresh`: the networks have their initial params, and nothing to lose."""
        self._networks = networks
        self._returns = ReturnSize()
        self._fresh = fresh
        self._started = False
        self.unit = 1.0  # of the networks' last layers

    def see(self, reward: NDArray[np.float32], discount: NDArray[np.float32]) -> None:
        """Takes transitions `[N]` into account; networks follow at once at the first reward, later at `follow`."""
        if not (np.isfinite(reward).all() and np.isfinite(discount).all()):  # the TD error is to show it
            return
        self._returns.see(reward, discount)
        if not self._started:
            self.follow()

    def follow(self) -> None:
        """Brings the networks to the size as of now."""
        size = self._returns.size
        if size > 0:
            self.unit = size / _UNITS
            for network in self._networks:
                network.rescale_values(self.unit, keep=not self._fresh)
            self._started = True
        self._fresh = False
