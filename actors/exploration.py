"""Epsilon-greedy whose exploratory actions are held for a while.

Single random actions cancel out: a car that has to swing, or a corridor of many steps, is not explored by them. So a
random action is held for some steps, mostly few and sometimes many, as in Dabney et al.,
https://arxiv.org/abs/2006.01782. They count steps in absolute numbers; here the most are a share of an episode's mean
length: where an episode of random actions has 20 steps, as CartPole's, five of the same would end it.

Epsilon stays the share of steps that explore: where holds are long they begin less often.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

_MOST_STEPS = 20


class Exploration:
    """What the environments of one actor do, step by step."""

    def __init__(
        self,
        num_envs: int,
        action_count: int,
        hold_share: float,
        rng: np.random.Generator,
        time_limit: int | None = None,
    ) -> None:
        """`hold_share`: the most steps of a hold, as a share of the mean length of episodes so far.

        `time_limit`: steps of an episode, where something cuts it.
        """
        self._action_count = action_count
        self._hold_share = hold_share
        self._longest = math.inf if time_limit is None else time_limit
        self._rng = rng
        self._held = np.zeros(num_envs, dtype=np.int64)  # the action
        self._left = np.zeros(num_envs, dtype=np.int64)  # further steps of it
        self._steps = 0  # of all environments
        self._ended = 0  # episodes
        self._set_most(1)

    @property
    def most_steps(self) -> int:
        """Of a hold."""
        return len(self._chances)

    def actions(self, q_values: NDArray[np.float32], epsilon: NDArray[np.float32]) -> NDArray[np.int64]:
        """q_values `[E, A]`, epsilon `[E]` -> actions `[E]`: held, random with a hold that begins, or greedy."""
        chosen: NDArray[np.int64] = q_values.argmax(axis=1)
        begins = self._rng.random(len(chosen)) < epsilon / (self._mean_steps * (1 - epsilon) + epsilon)
        begins &= self._left == 0
        if begins.any():
            count = int(begins.sum())
            self._held[begins] = self._rng.integers(self._action_count, size=count)
            self._left[begins] = 1 + np.searchsorted(self._chances, self._rng.random(count), side="right")
        exploring = self._left > 0
        self._left[exploring] -= 1
        return np.where(exploring, self._held, chosen)

    def stepped(self, valid: NDArray[np.bool_], ended: NDArray[np.bool_]) -> None:
        """After each step. `[E]`: where it was a step of an episode; where that ended, and a hold with it."""
        self._steps += int(valid.sum())
        self._ended += int(ended.sum())
        self._left[ended] = 0
        likeliest = self._steps / max(1, self._ended)  # mean length, where episodes are still running
        most = int(min(_MOST_STEPS, max(1.0, self._hold_share * min(self._longest, likeliest))))
        if most != self.most_steps:
            self._set_most(most)

    def _set_most(self, most: int) -> None:
        chance = 1.0 / np.arange(1, most + 1) ** 2
        chance /= chance.sum()
        self._chances = np.cumsum(chance)  # of at most 1, 2, ... steps
        self._chances[-1] = 1.0
        self._mean_steps = float((chance * np.arange(1, most + 1)).sum())
