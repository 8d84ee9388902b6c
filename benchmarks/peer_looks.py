"""What the peers of `benchmarks cold` share: when one has solved it, what its looks cost, and the line it prints.

Imports nothing that a peer would not import anyway: its start is measured.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from common.config import BadInput

CARTPOLE = "CartPole-v1"
SOLVED_RETURNS = {CARTPOLE: 475.0, "LunarLander-v3": 200.0}
EPISODES = 100

Policy = Callable[[NDArray[np.float32]], NDArray[np.int64]]
"""Greedy actions `[E]` for observations `[E, D]`."""


class Looks:
    """The looks of one peer. Its clock runs from here, before the peer makes anything."""

    def __init__(self, seed: int, limit_seconds: float, env_id: str = CARTPOLE) -> None:
        self.ended = False
        self._env_id = env_id
        self._limit_seconds = limit_seconds
        self._generator = np.random.default_rng(np.random.SeedSequence(seed))
        self._began = time.monotonic()
        self._seconds = 0.0  # in looks so far

    def look(self, policy: Policy, env_steps: int) -> bool:
        """Looks on fresh start states and prints the line. True where the peer ends: solved, or over its limit."""
        began = time.monotonic()
        mean, solved = confirmed(policy, self._env_id, int(self._generator.integers(2**31)))
        now = time.monotonic()
        self._seconds += now - began
        self.ended = solved or now - self._began - self._seconds >= self._limit_seconds
        line = {"solved": solved, "look_seconds": self._seconds, "env_steps": env_steps, "mean_return": mean}
        print(json.dumps(line), flush=True)
        return self.ended


def confirmed(policy: Policy, env_id: str, seed: int) -> tuple[float, bool]:
    """The greedy mean over 100 episodes, and whether it is at or above the bar and so is that over 100 others."""
    first, second = (int(word) for word in np.random.SeedSequence(seed).generate_state(2))
    bar = SOLVED_RETURNS[env_id]
    mean = greedy_mean(policy, env_id, first)
    return mean, mean >= bar and greedy_mean(policy, env_id, second) >= bar


def greedy_mean(policy: Policy, env_id: str, seed: int) -> float:
    """Mean return of 100 episodes, side by side."""
    if gymnasium.spec(env_id).vector_entry_point is None:
        return _greedy_mean_one_by_one(policy, env_id, seed)
    env = gymnasium.make_vec(env_id, EPISODES, vectorization_mode=gymnasium.VectorizeMode.VECTOR_ENTRY_POINT)
    observation, _ = env.reset(seed=seed)
    returns = np.zeros(EPISODES)
    running = np.ones(EPISODES, dtype=np.bool_)
    while running.any():
        observation, reward, terminated, truncated, _ = env.step(policy(observation))
        returns += np.where(running, reward, 0.0)
        running &= ~(terminated | truncated)
    env.close()
    return float(returns.mean())


def _greedy_mean_one_by_one(policy: Policy, env_id: str, seed: int) -> float:
    """Where there is no vector class: none is stepped after its end, which would be most of the work."""
    seeds = np.random.SeedSequence(seed).generate_state(EPISODES)
    running = [gymnasium.make(env_id) for _ in range(EPISODES)]
    seen = [env.reset(seed=int(own))[0] for env, own in zip(running, seeds, strict=True)]
    total = 0.0
    while running:
        going: list[tuple[gymnasium.Env[Any, Any], Any]] = []
        for env, action in zip(running, policy(np.stack(seen)), strict=True):
            observation, reward, terminated, truncated, _ = env.step(int(action))
            total += float(reward)
            if terminated or truncated:
                env.close()
            else:
                going.append((env, observation))
        running, seen = [env for env, _ in going], [observation for _, observation in going]
    return total / EPISODES


def parse(description: str | None, env_ids: Sequence[str] = (CARTPOLE,)) -> argparse.Namespace:
    """`seed`, `limit_seconds` and `env` of the command line; `env_ids`: those that the peer has settings for."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--seed", type=int, default=0, help="root of every random stream")
    parser.add_argument("--limit-seconds", type=float, default=200.0, help="gives up then, looks not counted")
    parser.add_argument("--env", choices=env_ids, default=CARTPOLE, help="environment")
    return parser.parse_args()


def not_installed(error: ImportError) -> BadInput:
    """What to raise where a peer's packages are missing."""
    from common.config import BadInput  # here, because only a failure needs it

    return BadInput(f'{error}: the peers are an extra; pip install -e ".[bench]" brings them')
