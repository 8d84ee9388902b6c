"""Greedy episodes (epsilon 0) on copies of an environment, and how long they may take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from common.environment import Step

_LEAST_ENV_STEPS = 1_000
_TIMES_THE_LONGEST = 20
_TRUSTED_ENV_STEPS = 100_000

QValues = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""`[E, D]` observations -> `[E, A]` Q-values."""

Told = Callable[[int, int], None]
"""How many further episodes are through, and how many environment steps the running ones have."""

Enough = Callable[[NDArray[np.float64]], bool]
"""Whether the returns so far say all that is asked."""


def never(returns: NDArray[np.float64]) -> bool:
    """Every episode is wanted."""
    return False


class Environments(Protocol):
    """What greedy episodes need of a vector environment."""

    num_envs: int
    observation: NDArray[np.float32]

    def reset(self, seeds: np.random.SeedSequence) -> None:
        """See VectorEnvironment."""
        ...

    def step(self, action: NDArray[np.int64]) -> Step:
        """See VectorEnvironment."""
        ...

    def close(self) -> None:
        """See VectorEnvironment."""
        ...


class Played(NamedTuple):
    """Episodes from their start."""

    returns: NDArray[np.float64]  # [episodes], undiscounted; what it had reached where it did not end
    unended: int  # episodes
    longest_env_steps: int  # of the episodes; those that did not end all had as many


class StepLimit:
    """How many environment steps a greedy episode may take, by what episodes took that ended: 20 times the longest.

    A greedy policy can walk into a wall for ever. Where the environment has a time limit every episode ends by itself,
    so this one is out of its way, unless theirs is so long that it is none.
    """

    def __init__(self, time_limit: int | None, longest_env_steps: int = 0) -> None:
        """`time_limit`: the environment's own, in environment steps. `longest_env_steps`: of the episodes so far."""
        self._time_limit = time_limit
        self._longest = longest_env_steps

    def ended_after(self, env_steps: int) -> None:
        """An episode ended, of training or a greedy one."""
        self._longest = max(self._longest, env_steps)

    @property
    def env_steps(self) -> int:
        """As of now; it only grows."""
        grown = max(_LEAST_ENV_STEPS, _TIMES_THE_LONGEST * self._longest)
        if self._time_limit is None or self._time_limit < 1:  # Gymnasium writes -1 for none
            return grown
        return min(2 * self._time_limit, max(grown, _TRUSTED_ENV_STEPS))


def greedy_episodes(
    q_function: QValues,
    environments: Environments,
    episodes: int,
    seed: int,
    limit: StepLimit,
    stopped: Callable[[], bool] = lambda: False,
    told: Told = lambda through, env_steps: None,
    enough: Enough = never,
) -> Played | None:
    """Plays so many episodes, however many copies there are: every copy one, then all the next, and so on.

    Each episode is settled before it starts: taking those that *finish* first would prefer short ones. The copies start
    together each time, because one that reached the limit cannot be started anew alone.

    Args:
        seed: Of all start states.
        told: After each step.
        enough: Asked after each turn of the copies, given all returns so far, whether the rest can be left out.

    Returns:
        None if `stopped` became true before.
    """
    parts: list[Played] = []
    for first in range(0, episodes, environments.num_envs):
        count = min(environments.num_envs, episodes - first)
        seeds = np.random.SeedSequence(seed, spawn_key=(first,) if first else ())
        part = _first_episodes(q_function, environments, count, seeds, limit, stopped, told)
        if part is None:
            return None
        parts.append(part)
        if enough(np.concatenate([part.returns for part in parts])):
            break
    return together(parts)


def together(parts: Sequence[Played]) -> Played:
    """All their episodes. Raises ValueError where there are none."""
    return Played(
        returns=np.concatenate([part.returns for part in parts]),
        unended=sum(part.unended for part in parts),
        longest_env_steps=max(part.longest_env_steps for part in parts),
    )


def _first_episodes(
    q_function: QValues,
    environments: Environments,
    count: int,
    seeds: np.random.SeedSequence,
    limit: StepLimit,
    stopped: Callable[[], bool],
    told: Told,
) -> Played | None:
    """The first episode of the first `count` copies, to its end or to the limit, which it tells of ends."""
    environments.reset(seeds)
    returns = np.zeros(environments.num_envs, dtype=np.float64)
    running = np.arange(environments.num_envs) < count
    env_steps = 0
    while running.any() and env_steps < limit.env_steps:
        if stopped():
            return None
        step = environments.step(q_function(environments.observation).argmax(axis=1))
        env_steps += 1
        returns += np.where(running & step.valid, step.reward, 0.0)
        ended = running & (step.terminated | step.truncated)
        if ended.any():
            limit.ended_after(env_steps)
            running &= ~ended
        told(int(ended.sum()), env_steps)
    told(int(running.sum()), env_steps)
    return Played(returns[:count], unended=int(running.sum()), longest_env_steps=env_steps)
