"""The numpy forward pass, and the epsilon schedules."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from common.config import ActorConfig

Float32 = NDArray[np.float32]
_MOST_WAIT_DECAYS = 2


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


def not_greedy(q_values: Float32, action: NDArray[np.int64]) -> NDArray[np.bool_]:
    """q_values `[E, A]`, actions `[E]` -> `[E]`, True where another action has a higher value."""
    worse: NDArray[np.bool_] = q_values[np.arange(len(action)), action] < q_values.max(axis=1)
    return worse


def final_epsilons(config: ActorConfig, actor_id: int) -> Float32:
    """`[envs_per_actor]`: end ** (1 + spread * (2 * i / (N - 1) - 1)), the exponential schedules' limits.

    The bold environments keep failures and rare successes coming, the shy ones see what the greedy policy will meet.
    """
    exponent = 1 + config.epsilon_spread * (2 * _position(config, actor_id) - 1)
    epsilons: Float32 = np.power(config.epsilon_end, exponent)
    return epsilons.astype(np.float32)


def ladder_epsilons(config: ActorConfig, actor_id: int) -> Float32:
    """`[envs_per_actor]`: base ** (1 + alpha * i / (N - 1)).

    Horgan et al., Distributed Prioritized Experience Replay, https://arxiv.org/abs/1803.00933.
    """
    epsilons: Float32 = np.power(
        config.epsilon_ladder_base, 1 + config.epsilon_ladder_alpha * _position(config, actor_id)
    )
    return epsilons.astype(np.float32)


def epsilon_schedule(config: ActorConfig, actor_id: int) -> Callable[[float], Float32]:
    """A function from t, see exploration_steps, to the epsilons `[envs_per_actor]` of one actor.

    Exponential: final + (start - final) * exp(-t / decay).
    """
    if config.epsilon_schedule == "ladder":
        fixed = ladder_epsilons(config, actor_id)
        return lambda steps: fixed
    final = final_epsilons(config, actor_id)
    fall = np.float32(config.epsilon_start) - final
    return lambda steps: final + fall * np.float32(math.exp(-steps / config.decay_env_steps))


def exploration_steps(config: ActorConfig, env_steps: float, terminations: float) -> float:
    """The time t of the exponential schedule: environment steps, but as long as few episodes terminated it waits.

    Where a success ends an episode and chance finds it seldom, a policy that has learned from none does not look for
    it either. So the first decay takes `epsilon_wait_terminations` episodes that terminated, of all actors. Some
    environments have no such end: the wait is at most `_MOST_WAIT_DECAYS` decays.
    """
    if config.epsilon_wait_terminations == 0:
        return env_steps
    decay = config.decay_env_steps
    seen = decay * terminations / config.epsilon_wait_terminations
    return max(min(env_steps, seen), env_steps - _MOST_WAIT_DECAYS * decay)


def mean_epsilon(config: ActorConfig, steps: float) -> float:
    """Over all environments of all actors, for the display and the metrics. `steps`: see exploration_steps."""
    return float(np.mean([epsilon_schedule(config, actor_id)(steps) for actor_id in range(config.actors)]))


def _position(config: ActorConfig, actor_id: int) -> NDArray[np.float64]:
    """`[envs_per_actor]`: i / (N - 1), i interleaved over actors, so that each has bold and shy environments."""
    total = config.actors * config.envs_per_actor
    rank = np.arange(config.envs_per_actor) * config.actors + actor_id
    return rank / (total - 1) if total > 1 else np.full(1, 0.5)
