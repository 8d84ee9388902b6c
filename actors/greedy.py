"""Greedy episodes (epsilon 0), one for each environment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from common.environment import Step


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


def greedy_returns(
    q_function: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    environments: Environments,
    seed: int,
    stopped: Callable[[], bool] = lambda: False,
) -> NDArray[np.float64] | None:
    """Plays the first episode of every environment to its end.

    All environments start at once and each counts one episode: taking the first episodes to *finish* would prefer
    short ones.

    Returns:
        The undiscounted returns `[E]`, or None if `stopped` became true before all had ended.
    """
    environments.reset(np.random.SeedSequence(seed))
    returns = np.zeros(environments.num_envs, dtype=np.float64)
    running = np.ones(environments.num_envs, dtype=np.bool_)
    while running.any():
        if stopped():
            return None
        step = environments.step(q_function(environments.observation).argmax(axis=1))
        returns += np.where(running & step.valid, step.reward, 0.0)
        running &= ~(step.terminated | step.truncated)
    return returns
