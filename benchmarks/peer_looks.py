"""What the peers of `benchmarks cold` share: when one has solved CartPole, what its looks cost, and the line it prints.

Imports nothing that a peer would not import anyway: its start is measured.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import gymnasium
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from common.config import BadInput

ENV_ID = "CartPole-v1"
SOLVED_RETURN = 475.0
EPISODES = 100

Policy = Callable[[NDArray[np.float32]], NDArray[np.int64]]
"""Greedy actions `[E]` for observations `[E, 4]`."""


class Looks:
    """The looks of one peer. Its clock runs from here, before the peer makes anything."""

    def __init__(self, seed: int, limit_seconds: float) -> None:
        self.ended = False
        self._limit_seconds = limit_seconds
        self._generator = np.random.default_rng(np.random.SeedSequence(seed))
        self._began = time.monotonic()
        self._seconds = 0.0  # in looks so far

    def look(self, policy: Policy, env_steps: int) -> bool:
        """Looks on fresh start states and prints the line. True where the peer ends: solved, or over its limit."""
        began = time.monotonic()
        mean, solved = confirmed(policy, int(self._generator.integers(2**31)))
        now = time.monotonic()
        self._seconds += now - began
        self.ended = solved or now - self._began - self._seconds >= self._limit_seconds
        line = {"solved": solved, "look_seconds": self._seconds, "env_steps": env_steps, "mean_return": mean}
        print(json.dumps(line), flush=True)
        return self.ended


def confirmed(policy: Policy, seed: int) -> tuple[float, bool]:
    """The greedy mean over 100 episodes, and whether it is at or above 475 and so is that over 100 others."""
    first, second = (int(word) for word in np.random.SeedSequence(seed).generate_state(2))
    mean = greedy_mean(policy, first)
    return mean, mean >= SOLVED_RETURN and greedy_mean(policy, second) >= SOLVED_RETURN


def greedy_mean(policy: Policy, seed: int) -> float:
    """Mean return of the first episode of each of 100 environments."""
    env = gymnasium.make_vec(ENV_ID, EPISODES, vectorization_mode=gymnasium.VectorizeMode.VECTOR_ENTRY_POINT)
    observation, _ = env.reset(seed=seed)
    returns = np.zeros(EPISODES)
    running = np.ones(EPISODES, dtype=np.bool_)
    while running.any():
        observation, reward, terminated, truncated, _ = env.step(policy(observation))
        returns += np.where(running, reward, 0.0)
        running &= ~(terminated | truncated)
    env.close()
    return float(returns.mean())


def parse(description: str | None) -> argparse.Namespace:
    """`seed` and `limit_seconds` of the command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--seed", type=int, default=0, help="root of every random stream")
    parser.add_argument("--limit-seconds", type=float, default=200.0, help="gives up then, looks not counted")
    return parser.parse_args()


def not_installed(error: ImportError) -> BadInput:
    """What to raise where a peer's packages are missing."""
    from common.config import BadInput  # here, because only a failure needs it

    return BadInput(f'{error}: the peers are an extra; pip install -e ".[bench]" brings them')
