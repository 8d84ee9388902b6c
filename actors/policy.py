"""Epsilon-greedy on a numpy forward pass, and the epsilon schedules."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from common.config import ActorConfig

Float32 = NDArray[np.float32]


class QFunction:
    """The forward pass of a network in the canonical form (common/params.py), at half torch's cost for these sizes."""

    def __init__(self, arrays: Mapping[str, Float32]) -> None:
        """Copies the arrays: what Ray delivers is a view that pins its message."""
        values = list(arrays.values())
        self._layers = [
            (np.array(weight.T, order="C"), np.array(bias))
            for weight, bias in zip(values[::2], values[1::2], strict=True)
        ]

    def __call__(self, observation: Float32) -> Float32:
        """`[E, D]` -> Q-values `[E, A]`."""
        hidden = observation
        last = len(self._layers) - 1
        for index, (weight, bias) in enumerate(self._layers):
            hidden = hidden @ weight
            hidden += bias
            if index < last:
                np.maximum(hidden, 0.0, out=hidden)
        return hidden


def epsilon_greedy(q_values: Float32, epsilon: Float32, rng: np.random.Generator) -> NDArray[np.int64]:
    """q_values `[E, A]`, epsilon `[E]` -> actions `[E]`; with probability epsilon uniform over all actions."""
    greedy: NDArray[np.int64] = q_values.argmax(axis=1)
    explore = rng.random(len(greedy)) < epsilon
    if not explore.any():
        return greedy
    return np.where(explore, rng.integers(q_values.shape[1], size=len(greedy)), greedy)


def exponential_epsilon(config: ActorConfig, env_steps: float) -> float:
    """end + (start - end) * exp(-t / decay), with t in global environment steps."""
    decayed = math.exp(-env_steps / config.epsilon_decay_env_steps)
    return config.epsilon_end + (config.epsilon_start - config.epsilon_end) * decayed


def ladder_epsilons(config: ActorConfig, actor_id: int) -> Float32:
    """`[envs_per_actor]`: base ** (1 + alpha * i / (N - 1)), i interleaved over actors, so each has bold and shy ones.

    Horgan et al., Distributed Prioritized Experience Replay, https://arxiv.org/abs/1803.00933.
    """
    total = config.actors * config.envs_per_actor
    rank = np.arange(config.envs_per_actor) * config.actors + actor_id
    position = rank / (total - 1) if total > 1 else np.full(1, 0.5)
    epsilons: Float32 = np.power(config.epsilon_ladder_base, 1 + config.epsilon_ladder_alpha * position)
    return epsilons.astype(np.float32)


def epsilon_schedule(config: ActorConfig, actor_id: int) -> Callable[[float], Float32]:
    """A function from global environment steps to the epsilons `[envs_per_actor]` of one actor."""
    if config.epsilon_schedule == "ladder":
        fixed = ladder_epsilons(config, actor_id)
        return lambda env_steps: fixed
    return lambda env_steps: np.full(config.envs_per_actor, exponential_epsilon(config, env_steps), dtype=np.float32)


def mean_epsilon(config: ActorConfig, env_steps: float) -> float:
    """Over all environments of all actors, for the display and the metrics."""
    if config.epsilon_schedule == "exponential":
        return exponential_epsilon(config, env_steps)
    return float(np.mean([ladder_epsilons(config, actor_id) for actor_id in range(config.actors)]))
