"""Actor: plays epsilon-greedy episodes and ships the transitions.

In:   ParamsReader.newest()     once at the start, so that a replacement acts with the newest too
      AddReply                  brings the newest params, taken between environment steps
Out:  ReplayWriter.add(chunk)   one chunk in flight; the ack is held while actors are ahead of the learner

Run by the driver as a Ray actor: `run` occupies its thread, `stats` comes in on another.
"""

from __future__ import annotations

import time
import warnings
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from actors.exploration import Exploration
from actors.n_step import NStepAccumulator
from actors.policy import QFunction, epsilon_schedule, exploration_steps, not_greedy
from common.config import ActorConfig
from common.environment import Step, VectorEnvironment
from common.hearing import Hearing, listening
from common.params import check_arrays, layer_shapes
from common.process import be_nice
from common.rows import row_dtype, write
from common.seeding import seed_sequence
from common.time_use import ACTIVITIES, TimeUse
from common.types import AddReply, Chunk, EnvironmentSpec, Episodes, Params, Rows, Transition

NICENESS = 19  # actors yield to everybody: they are ahead of the learner and wait most of their time
_NO_VERSION_YET = 2**63 - 1


class Writer(Protocol):
    """Takes chunks; returns once the actor may go on."""

    def add(self, chunk: Chunk) -> AddReply:
        """See ReplayWriter."""
        ...


class ParamsSource(Protocol):
    """Hands out the newest params."""

    def newest(self) -> Params:
        """See ParamsReader."""
        ...


class ActorStats(NamedTuple):
    """What an actor tells of itself; counts since its process started."""

    actor_id: int
    params_version: int  # acted with, learner steps; -1 before the first
    params_age_seconds: float | None  # since it took them, by its own clock; None before the first
    chunks: int
    waiting: bool  # for the ack of a chunk
    seconds: dict[str, float]  # by activity, see common/time_use.py
    heard: tuple[str, ...]  # what its environments print and warn of, see common/hearing.py


class _Policy(NamedTuple):
    """Version and function swap as one reference: nobody acts with one and reports the other."""

    version: int
    q_function: QFunction
    since: float  # time.time() when it was taken
    taken: float  # the same moment by the actor's clock, which nobody sets


class Actor:
    """One actor process with its vector environment."""

    def __init__(
        self,
        actor_id: int,
        config: ActorConfig,
        environment: EnvironmentSpec,
        hidden: tuple[int, ...],
        seed: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._id = actor_id
        self._config = config
        self._spec = environment
        self._shapes = layer_shapes(environment.observation_size, hidden, environment.action_count)
        self._seed = seed
        self._clock = clock
        self._epsilon = epsilon_schedule(config, actor_id)
        self._policy: _Policy | None = None
        self._waiting = False
        self._hearing = Hearing()
        self._time_use = TimeUse(ACTIVITIES["actors"])
        self._seq = 0
        self._row_count = 0  # in the running chunk
        self._oldest_version = _NO_VERSION_YET  # acted with in the running chunk

    def __repr__(self) -> str:
        return f"actor-{self._id}"

    def run(self, incarnation: int, replay: Writer, params: ParamsSource) -> None:
        """Plays until the replay server says stop. `incarnation` counts the processes that were this actor."""
        be_nice(NICENESS)
        with listening(self._hearing):
            self.start(incarnation, replay, params)
            while not self.step():
                pass
            self._environment.close()

    def start(self, incarnation: int, replay: Writer, params: ParamsSource) -> None:
        """Makes the environments and takes the newest params."""
        self._incarnation = incarnation
        self._replay = replay
        environment_seeds, policy_seeds, streams = seed_sequence(self._seed, "actor", self._id, incarnation).spawn(3)
        envs = self._config.envs_per_actor
        self._exploration = Exploration(
            envs,
            self._spec.action_count,
            self._config.epsilon_hold_share,
            np.random.default_rng(policy_seeds),
            self._spec.max_episode_steps,
        )
        # A step completes a row for each environment, and one for each of its start states where its episode ends.
        self._most_rows = self._config.rows_per_chunk + envs * self._config.n_step
        self._row_dtype = row_dtype(self._spec.observation_size)
        self._accumulator = NStepAccumulator(self._config.n_step, self._config.gamma, envs, self._spec.observation_size)
        self._episodes = EpisodeRecorder(envs)
        self._versions: deque[int] = deque(maxlen=self._config.n_step)  # acted with in the last n steps
        self._acked_env_steps = self._acked_terminations = 0
        self._bounds: tuple[NDArray[np.float32], NDArray[np.float32]] | None = (
            np.array(self._spec.observation_low, dtype=np.float32),
            np.array(self._spec.observation_high, dtype=np.float32),
        )
        self._start_chunk()
        first = self._id * envs
        self._environment = VectorEnvironment.of(self._spec, envs, first, streams)
        self._environment.reset(environment_seeds)
        self.set_params(params.newest())
        self._time_use.begin()

    def step(self) -> bool:
        """One step of all environments; ships a chunk when it is due. True when the run is ending."""
        assert self._policy is not None
        policy = self._policy
        epsilon = self._epsilon(self._exploration_steps())
        observation = self._environment.observation
        q_values = policy.q_function(observation)
        action = self._exploration.actions(q_values, epsilon)
        cut = not_greedy(q_values, action) if self._config.n_step_cut else None
        self._time_use.spent("acting")
        step = self._environment.step(action)
        self._time_use.spent("environment")

        self._exploration.stepped(step.valid, step.valid & (step.terminated | step.truncated))
        self._keep(self._accumulator.add(observation, action, step, cut), policy.version)
        self._env_steps += int(step.valid.sum())
        self._terminations += int((step.valid & step.terminated).sum())
        self._episodes.add(step, epsilon, policy.version)
        self._time_use.spent("accumulating")

        full = self._row_count >= self._config.rows_per_chunk
        if full or self._clock() - self._chunk_started >= self._config.chunk_seconds:
            return self._ship()
        return False

    def set_params(self, params: Params) -> None:
        """Takes newer params, from the next step on. Raises ValueError when they do not fit the network."""
        check_arrays(params.arrays, self._shapes)
        if self._policy is None or params.version > self._policy.version:
            self._policy = _Policy(params.version, QFunction(params.arrays), since=time.time(), taken=self._clock())

    def stats(self) -> ActorStats:
        """A snapshot, from another thread."""
        policy = self._policy
        return ActorStats(
            actor_id=self._id,
            params_version=-1 if policy is None else policy.version,
            params_age_seconds=None if policy is None else self._clock() - policy.taken,
            chunks=self._seq,
            waiting=self._waiting,
            seconds=self._time_use.seconds,
            heard=self._hearing.lines,
        )

    def _exploration_steps(self) -> float:
        """By the authority's counts at the last ack, and since then as if all actors played as this one does."""
        env_steps = self._acked_env_steps + self._env_steps * self._config.actors
        terminations = self._acked_terminations + self._terminations * self._config.actors
        return exploration_steps(self._config, env_steps, terminations)

    def _keep(self, rows: Transition, version: int) -> None:
        self._versions.append(version)
        self._oldest_version = min(self._oldest_version, self._versions[0])
        end = self._row_count + len(rows.action)
        write(self._rows[self._row_count : end], rows)
        self._row_count = end

    def _ship(self) -> bool:
        assert self._policy is not None
        self._warn_if_outside(self._environment.observation)
        chunk = Chunk(
            actor_id=self._id,
            incarnation=self._incarnation,
            seq=self._seq,
            params_version=self._oldest_version,
            params_held=self._policy.version,
            params_held_since=self._policy.since,
            env_steps=self._env_steps,
            rows=self._rows[: self._row_count],
            episodes=self._episodes.take(),
        )
        self._seq += 1
        self._time_use.spent("shipping")
        self._waiting = True
        reply = self._replay.add(chunk)
        self._waiting = False
        self._time_use.spent("waiting")
        self._acked_env_steps, self._acked_terminations = reply.env_steps, reply.terminations
        if reply.params is not None:
            self.set_params(reply.params.content)
        self._start_chunk()
        return reply.stop

    def _warn_if_outside(self, observation: NDArray[np.float32]) -> None:
        """Of its space's bounds, which `--observation-scaling bounds` relies on; once, looked at now and then."""
        if self._bounds is None:
            return
        low, high = self._bounds
        outside = (observation < low) | (observation > high)
        if outside.any():
            env, number = (int(axis[0]) for axis in np.nonzero(outside))
            self._bounds = None
            value = observation[env, number]
            warnings.warn(
                f"{self._spec.id}: an observation is outside its space: number {number} is {value:g}, and its "
                f"bounds are [{low[number]:g}, {high[number]:g}]",
                stacklevel=2,
            )

    def _start_chunk(self) -> None:
        self._rows: Rows = np.zeros(self._most_rows, dtype=self._row_dtype)
        self._row_count = 0
        self._env_steps = self._terminations = 0
        self._oldest_version = _NO_VERSION_YET
        self._chunk_started = self._clock()


class EpisodeRecorder:
    """Adds up the returns and lengths of the running episodes, and keeps the finished ones until they ship."""

    def __init__(self, num_envs: int) -> None:
        self._return = np.zeros(num_envs, dtype=np.float64)
        self._length = np.zeros(num_envs, dtype=np.int64)
        self._finished: list[Episodes] = []

    def add(self, step: Step, epsilon: np.ndarray, version: int) -> None:
        """Takes one vector step, acted with `epsilon` `[E]` and params of `version`."""
        self._return += np.where(step.valid, step.reward, 0.0)
        self._length += step.valid
        ended = step.valid & (step.terminated | step.truncated)
        if ended.any():
            self._finished.append(
                Episodes(
                    episode_return=self._return[ended],
                    length_env_steps=self._length[ended],
                    epsilon=epsilon[ended],
                    params_version=np.full(int(ended.sum()), version, dtype=np.int64),
                    terminated=step.terminated[ended],
                )
            )
            self._return[ended] = 0.0
            self._length[ended] = 0

    def take(self) -> Episodes:
        """The finished episodes since the last call."""
        finished, self._finished = self._finished, []
        return join_episodes(finished)


def join_episodes(parts: list[Episodes]) -> Episodes:
    """One after the other; none at all gives empty columns."""
    if not parts:
        return Episodes(
            episode_return=np.zeros(0, dtype=np.float64),
            length_env_steps=np.zeros(0, dtype=np.int64),
            epsilon=np.zeros(0, dtype=np.float32),
            params_version=np.zeros(0, dtype=np.int64),
            terminated=np.zeros(0, dtype=np.bool_),
        )
    return Episodes._make(np.concatenate(column) for column in zip(*parts, strict=True))
