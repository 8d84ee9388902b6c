"""Observations of one size, whatever the environment's units: by the spread of what was seen.

Adam moves every weight of the first layer by about the learning rate, however large the input is. So one observation of
147 numbers up to 10 moves every unit a hundred times as far as one of CartPole's does, and after a few hundred steps
all units are on the wrong side of 0 for ever. Here every number is divided by its spread, and all together by their
sum, so that a step means the same for any environment.

The spread is that around 0, the root of the mean square, unless a number hardly varies around its mean: only then is it
centred. With all numbers centred Acrobot was learnt late or not at all (tried by hand).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from learner.network import QNetwork

Float64 = NDArray[np.float64]

_ROWS = 512  # of a reply are looked at, which are drawn at random: all of them would cost more and tell little more
_MEMORY_ROWS = 200_000  # what is older counts ever less
_LEAST_SHARE = 0.02  # of the newest rows in the sum of |numbers|, which follows the policy sooner
_RANGE = 10.0  # a number is at most so many spreads: else one that is rarely not 0 would be huge then
_CENTRED = (20.0, 40.0)  # |mean| / standard deviation: from here on a number is centred in part, from there on wholly
_SIZE = 3.2  # sum of |numbers| of an observation, at most
_PRE_ACTIVATION = 0.25  # spread of what a unit of the first layer gets at the start, of weights and bias alike


class Scaling(NamedTuple):
    """x * scale + shift."""

    scale: Float64  # [D]
    shift: Float64  # [D]
    varied: NDArray[np.bool_]  # [D], whether more than one value was seen
    spread: float  # of a scaled observation: root of the summed variances


class RunningScale:
    """Mean and spread of every number of the observations seen."""

    def __init__(self, observation_size: int) -> None:
        self._mean = np.zeros(observation_size)
        self._variance = np.zeros(observation_size)
        self._low = np.full(observation_size, np.inf)
        self._high = np.full(observation_size, -np.inf)
        self._rows = 0.0
        self._size = 0.0  # sum of |numbers|, each divided by its spread: a running mean

    def see(self, observation: NDArray[np.float32]) -> None:
        """Takes observations `[N, D]` into account."""
        share = len(observation) / (self._rows + len(observation))
        self._rows = min(self._rows + len(observation), _MEMORY_ROWS)
        mean = observation.mean(axis=0, dtype=np.float64)
        moved = mean - self._mean
        variance = np.square(observation - mean).mean(axis=0)
        self._variance = (1 - share) * self._variance + share * variance + share * (1 - share) * moved**2
        self._mean = self._mean + share * moved
        self._low = np.minimum(self._low, observation.min(axis=0))
        self._high = np.maximum(self._high, observation.max(axis=0))
        size = float((np.abs(observation - self._centre()).mean(axis=0) / self._spread()).sum())
        self._size += max(share, _LEAST_SHARE) * (size - self._size)

    def scaling(self) -> Scaling:
        """As of now."""
        scale = min(1.0, _SIZE / self._size if self._size > 0 else 1.0) / self._spread()
        spread = float(np.sqrt((self._variance * scale**2).sum()))
        return Scaling(scale, -self._centre() * scale, self._high > self._low, spread)

    def _centre(self) -> Float64:
        deviation = np.maximum(np.sqrt(self._variance), np.finfo(np.float32).tiny)
        first, last = _CENTRED
        centred: Float64 = self._mean * np.clip((np.abs(self._mean) / deviation - first) / (last - first), 0.0, 1.0)
        return centred

    def _spread(self) -> Float64:
        centre = self._centre()
        around = np.sqrt(self._variance + (self._mean - centre) ** 2)
        largest = np.maximum(np.abs(self._low - centre), np.abs(self._high - centre))
        spread: Float64 = np.maximum(around, largest / _RANGE)
        return np.where(spread > 0, spread, 1.0)


class Normalizer:
    """Keeps networks scaled by what was seen. Their functions stay the same while the scale moves."""

    def __init__(self, networks: Sequence[QNetwork], observation_size: int, *, fresh: bool) -> None:
        """`fresh`: the networks have their initial params, and nothing to lose."""
        self._networks = networks
        self._running = RunningScale(observation_size)
        self._fresh = fresh
        # Fresh weights of what has not varied yet were for a number that was always 0: it begins with them as they are.
        self._kept = np.full(observation_size, not fresh)
        self._started = False

    def see(self, observation: NDArray[np.float32]) -> None:
        """Takes observations `[N, D]` into account; the networks follow at once at the first, later at `follow`."""
        seen = observation[:_ROWS]
        if not np.isfinite(seen).all():  # the TD error is to show it
            return
        self._running.see(seen)
        if not self._started:
            self._started = True
            self.follow()

    def follow(self) -> None:
        """Brings the networks to the scale as of now."""
        scaling = self._running.scaling()
        for network in self._networks:
            if scaling.spread > 0:
                network.spread_pre_activations(scaling.spread, _PRE_ACTIVATION, self._fresh)
            network.rescale(scaling.scale, scaling.shift, self._kept)
        self._fresh = False
        self._kept = self._kept | scaling.varied
