"""Our learner's update in a bare process, with rows that are there at once: prints learner steps per second.

`python -m benchmarks.update_alone BATCH SECONDS`. What the learner could do if Ray, actors and evaluator cost nothing.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import torch
from numpy.typing import NDArray

from common.config import Config, LearnerConfig, NetworkConfig, rows_per_call
from common.rows import pack
from common.types import EnvironmentSpec, Params, SampleReply, Transition
from driver import ray_environment
from learner.learner import Learner
from replay_server.buffer import ReplayBuffer

_CAPACITY = 50_000
_INFINITE = (float("inf"),) * 4
_ENVIRONMENT = EnvironmentSpec("CartPole-v1", 4, 2, tuple(-bound for bound in _INFINITE), _INFINITE, 475.0)


class _Rows:
    """Hands out the same few replies over and over."""

    def __init__(self, rows_per_call: int) -> None:
        rng = np.random.default_rng(0)
        buffer = ReplayBuffer(_CAPACITY, 4)
        buffer.insert(
            pack(
                Transition(
                    observation=rng.standard_normal((_CAPACITY, 4)).astype(np.float32),
                    action=rng.integers(2, size=_CAPACITY),
                    reward=np.full(_CAPACITY, 3.0, dtype=np.float32),
                    discount=np.full(_CAPACITY, 0.97, dtype=np.float32),
                    next_observation=rng.standard_normal((_CAPACITY, 4)).astype(np.float32),
                )
            )
        )
        self._replies = [
            SampleReply(
                rows=buffer.sample(rows_per_call, rng),
                waiting_for="",
                env_steps=0,
                stop=False,
            )
            for _ in range(20)
        ]
        self._calls = 0

    def sample(self, ids: NDArray[np.int64], priority: NDArray[np.float32]) -> SampleReply:
        """As ReplayReader."""
        self._calls += 1
        return self._replies[self._calls % len(self._replies)]


class _Nobody:
    """Gets the params."""

    def publish(self, params: Params) -> None:
        """As ParamsBroadcaster."""


def main(batch_size: int, seconds: float) -> float:
    """Learner steps per second, after a short warm-up."""
    ray_environment.prepare(embedded=True)  # it decides how many minibatches a reply carries
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    rows = rows_per_call(Config(learner=LearnerConfig(batch_size=batch_size)), 4)

    def steps_per_second(learner_steps: int) -> float:
        config = LearnerConfig(batch_size=batch_size, max_learner_steps=learner_steps)
        learner = Learner(config, NetworkConfig(), _ENVIRONMENT, np.random.SeedSequence(0), _Rows(rows))
        began = time.perf_counter()
        learner.run(_Nobody())
        return learner_steps / (time.perf_counter() - began)

    guess = steps_per_second(500)
    return steps_per_second(max(500, round(seconds * guess)))


if __name__ == "__main__":
    print(main(int(sys.argv[1]), float(sys.argv[2])))
