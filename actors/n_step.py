"""From environment steps to n-step transitions, for E environments at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from common.environment import Step
from common.types import Transition


class NStepAccumulator:
    """Holds the last n - 1 steps of each environment and emits a transition for every start state.

    Cases, for a start state that k <= n steps follow:
    - n steps went by: reward is their discounted sum, discount gamma**n, next observation the one after n steps.
    - the episode terminated after k steps: the sum of k rewards, discount 0.
    - it was truncated after k steps: the sum of k rewards, discount gamma**k, the true final observation.
    - a reset (`valid` False): nothing; no row crosses it.
    - `cut` before the step that would be the next: the sum of the k rewards so far, discount gamma**k, and the
      observation that the cut step starts from. What follows an action that the policy would not take says nothing
      about the policy. Watkins's cut, Sutton and Barto, Reinforcement Learning (2018), section 12.10.

    Rows of one step come out oldest start first, those that were cut before the others. Section 7.1 there.
    """

    def __init__(self, n_step: int, gamma: float, num_envs: int, observation_size: int) -> None:
        if n_step < 1:
            raise ValueError(f"n_step must be at least 1, got {n_step}")
        self._n = n_step
        self._num_envs = num_envs
        self._powers = np.power(np.float64(gamma), np.arange(n_step + 1))  # gamma**k
        # A ring over time, one slot for each of the last n steps; slot = time % n, common to all environments.
        self._observation = np.zeros((n_step, num_envs, observation_size), dtype=np.float32)
        self._action = np.zeros((n_step, num_envs), dtype=np.int64)
        self._reward_sum = np.zeros((n_step, num_envs), dtype=np.float64)  # from each slot's start until now
        self._pending = np.zeros(num_envs, dtype=np.int64)  # start states without a row yet
        self._time = 0

    def add(
        self,
        observation: NDArray[np.float32],
        action: NDArray[np.int64],
        step: Step,
        cut: NDArray[np.bool_] | None = None,
    ) -> Transition:
        """Takes one vector step; returns the transitions `[N, ...]` that it completed, N from 0 to E * n.

        Args:
            observation: `[E, D]`, what was acted on; copied.
            action: `[E]`.
            step: what came of it.
            cut: `[E]`, where sums of earlier start states end before this step.
        """
        before = None if cut is None else self._cut(observation, cut & step.valid)
        slot = self._time % self._n
        self._time += 1
        self._observation[slot] = observation
        self._action[slot] = action
        self._reward_sum[slot] = 0.0
        self._pending = np.where(step.valid, self._pending + 1, 0)

        # spans[s]: environment steps from slot s's start until now, 1 for the step just taken.
        spans = (slot - np.arange(self._n)) % self._n + 1  # [n]
        self._reward_sum += self._powers[spans - 1][:, None] * np.where(step.valid, step.reward, 0.0)

        ended = step.valid & (step.terminated | step.truncated)
        complete = spans[:, None] == self._n  # [n, 1], the slot that the next step overwrites
        emit = (spans[:, None] <= self._pending) & (complete | ended)  # [n, E]
        self._pending = np.where(ended, 0, np.minimum(self._pending, self._n - 1))

        slots, envs = np.nonzero(emit)
        if self._n > 1 and slots.size > 1:
            oldest_first = np.argsort(-spans[slots], kind="stable")
            slots, envs = slots[oldest_first], envs[oldest_first]
        discount = np.where(step.terminated[envs], 0.0, self._powers[spans[slots]])
        rows = self._rows(slots, envs, discount, step.next_observation)
        if before is None:
            return rows
        return Transition(
            observation=np.concatenate((before.observation, rows.observation)),
            action=np.concatenate((before.action, rows.action)),
            reward=np.concatenate((before.reward, rows.reward)),
            discount=np.concatenate((before.discount, rows.discount)),
            next_observation=np.concatenate((before.next_observation, rows.next_observation)),
        )

    def _cut(self, observation: NDArray[np.float32], cut: NDArray[np.bool_]) -> Transition | None:
        """The transitions of start states that still wait for steps, to `observation` `[E, D]`; None without any."""
        waiting = cut & (self._pending > 0)
        if not waiting.any():
            return None
        spans = ((self._time - 1) % self._n - np.arange(self._n)) % self._n + 1  # [n], as of the step before
        slots, envs = np.nonzero((spans[:, None] <= self._pending) & waiting)
        oldest_first = np.argsort(-spans[slots], kind="stable")
        slots, envs = slots[oldest_first], envs[oldest_first]
        self._pending = np.where(waiting, 0, self._pending)
        return self._rows(slots, envs, self._powers[spans[slots]], observation)

    def _rows(
        self,
        slots: NDArray[np.intp],
        envs: NDArray[np.intp],
        discount: NDArray[np.float64],
        next_observation: NDArray[np.float32],
    ) -> Transition:
        return Transition(
            observation=self._observation[slots, envs],
            action=self._action[slots, envs],
            reward=self._reward_sum[slots, envs].astype(np.float32),
            discount=discount.astype(np.float32),
            next_observation=next_observation[envs],
        )
