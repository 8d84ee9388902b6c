"""Actors, ring and learner in turns in one process, without Ray: the quick way to try settings on several seeds.

The same classes in the same proportions: all environments step until the chunks of all actors are full, then the
learner takes the steps that are due for them. Two runs of one seed are equal. A guide only: in `launch.py` actors and
learner run at once and params arrive otherwise, so what is claimed of the defaults has to be measured there.
"""

from __future__ import annotations

import dataclasses
import shlex
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tyro.conf import UseAppendAction

from actors.actor import Actor
from actors.greedy import StepLimit, greedy_episodes
from actors.policy import QFunction
from common.config import Config, resolve, rows_per_call
from common.environment import VectorEnvironment, probe
from common.seeding import seed_sequence
from common.types import AddReply, Chunk, EnvironmentSpec, Params, Published, SampleReply
from driver.command_line import parse
from learner.learner import Learner
from replay_server.buffer import ReplayBuffer


@dataclass(frozen=True)
class OneProcess:
    """Trains with each seed and prints looks on the way: mean return, silent units, spread of Q-values."""

    env: str = "CartPole-v1"
    """Environment."""
    env_steps: int = 100_000
    """Length of a run, environment steps."""
    seeds: int = 4
    """Number of seeds."""
    first_seed: int = 0
    """The first of them; the others follow."""
    option: UseAppendAction[tuple[str, ...]] = ()
    """A further option of launch.py, such as --option=--n-step=1; repeatable."""
    looks: int = 6
    """Looks of a run, evenly spaced."""
    episodes: int = 30
    """Episodes of a look."""


def measure_one_process(settings: OneProcess) -> list[dict[str, Any]]:
    """One row for each look of each seed."""
    torch.set_num_threads(1)
    seeds = range(settings.first_seed, settings.first_seed + settings.seeds)
    return [row for seed in seeds for row in _train(settings, seed)]


def _train(settings: OneProcess, seed: int) -> list[dict[str, Any]]:
    began = time.monotonic()
    looks = _Run(settings, seed).looks()
    means = " ".join(f"{look['mean']:.4g}" for look in looks)
    silent, spread = looks[-1]["silent_units"], looks[-1]["q_spread"]
    took = time.monotonic() - began
    print(f"seed {seed}: {means}; silent {silent:.2f}, spread of Q {spread:.3g}; {took:.0f} s", flush=True)
    return [{"seed": seed, **look} for look in looks]


class _Run:
    """Replay server and broadcaster in one; the learner's and the actor's only partner."""

    def __init__(self, settings: OneProcess, seed: int) -> None:
        options = [word for option in settings.option for word in shlex.split(option)]
        asked = parse(
            ["--env", settings.env, "--seed", str(seed), "--max-env-steps", str(settings.env_steps), *options]
        )
        self._settings = settings
        self._environment: EnvironmentSpec = probe(
            settings.env, asked.config.run.env_args, 0, asked.config.run.env_wrapper
        )
        self._config: Config = resolve(_one_actor(asked.config), self._environment.observation_size)
        self._rows_per_call = rows_per_call(self._config, self._environment.observation_size)
        capacity = self._config.replay.capacity_transitions
        self._ring = ReplayBuffer(capacity, self._environment.observation_size)
        self._rng = np.random.default_rng(seed_sequence(seed, "replay"))
        self._inserted = self._sampled = self._env_steps = self._terminations = 0
        self._looks: list[dict[str, Any]] = []
        self._copies = self._environments(settings.episodes)
        self._learner = Learner(
            self._config.learner, self._config.network, self._environment, seed_sequence(seed, "learner"), replay=self
        )
        self._actor = Actor(0, self._config.actor, self._environment, self._config.network.hidden, seed)

    def looks(self) -> list[dict[str, Any]]:
        """Trains to the limit."""
        self._learner.begin(self)
        self._actor.start(0, self, self)
        while not self._actor.step():
            pass
        return self._looks

    def sample(self, ids: NDArray[np.int64], priority: NDArray[np.float32]) -> SampleReply:
        """See ReplayReader."""
        self._sampled += self._rows_per_call
        return SampleReply(self._ring.sample(self._rows_per_call, self._rng), "", self._env_steps, stop=False)

    def publish(self, params: Params) -> None:
        """See ParamsBroadcaster; the actor gets the newest with its ack."""

    def newest(self) -> Params:
        """See ParamsReader."""
        return self._learner.newest()

    def add(self, chunk: Chunk) -> AddReply:
        """See ReplayWriter: the learner steps that are due come before the ack."""
        self._ring.insert(chunk.rows)
        self._inserted += len(chunk.rows)
        self._env_steps += chunk.env_steps
        self._terminations += int(chunk.episodes.terminated.sum())
        replay = self._config.replay
        due = replay.samples_per_insert * (self._inserted - replay.learning_starts_transitions)
        while due - self._sampled >= self._rows_per_call:
            self._learner.step()
        newest = self._learner.newest()
        if self._env_steps >= (len(self._looks) + 1) * self._settings.env_steps / self._settings.looks:
            self._looks.append(self._look(newest))
        published = Published(newest.version, time.time(), newest)
        stop = self._env_steps >= self._settings.env_steps
        return AddReply(self._env_steps, self._terminations, "", stop, published)

    def _look(self, params: Params) -> dict[str, Any]:
        limit = StepLimit(self._environment.max_episode_steps)
        seed = len(self._looks)
        played = greedy_episodes(QFunction(params.arrays), self._copies, self._settings.episodes, seed, limit)
        assert played is not None
        stats = self._learner.stats()
        return {
            "env_steps": self._env_steps,
            "learner_steps": stats.learner_steps,
            "mean": float(played.returns.mean()),
            "mean_q": stats.mean_q,
            "q_spread": stats.q_spread,
            "silent_units": stats.silent_units,
        }

    def _environments(self, count: int) -> VectorEnvironment:
        return VectorEnvironment.of(self._environment, count, first_index=0)


def _one_actor(config: Config) -> Config:
    """With the environments of all actors, and chunks as large as all that is in flight."""
    actor = config.actor
    envs = actor.actors * actor.envs_per_actor
    rows = actor.actors * actor.rows_per_chunk
    return dataclasses.replace(
        config,
        actor=dataclasses.replace(actor, actors=1, envs_per_actor=envs, chunk_rows=rows, chunk_seconds=1e9),
    )
