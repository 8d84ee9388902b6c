"""How much of the machine do actors turn into transitions in the ring, when nobody holds them back?"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from actors.actor import Actor
from benchmarks.launching import ROOT, spread
from common.config import ActorConfig, Config, ReplayConfig, resolve, rows_per_call
from common.environment import probe
from common.params import layer_shapes
from common.seeding import seed_sequence
from common.types import AddReply, Chunk, EnvironmentSpec, Params
from driver import ray_environment
from replay_server.buffer import ReplayBuffer
from replay_server.deduplication import SeenSequences

BAR = 0.7  # of cores x one process, at BAR_ACTORS actors of BAR_ENVS environments
BAR_ACTORS, BAR_ENVS = 8, 32

_ENV_ID = "CartPole-v1"
_HIDDEN = (128, 128)
_SEED = 0
_LIMITER_OPEN = 1e15  # samples of tolerance: no ack is ever held
_WARM_UP_SECONDS = 1.0  # after the first chunks
_READY_SECONDS = 120.0
_STOP_SECONDS = 20.0
_REPORT_SECONDS = 1.0  # between two reports, as in a run: the server lets go of its episodes then


@dataclass(frozen=True)
class Collection:
    """Counts transitions that arrive in the ring: actors through Ray, then one process doing the same without Ray."""

    actors: int = 8
    """Actor processes."""
    envs: tuple[int, ...] = (8, 32, 128, 256)
    """Environments for each actor."""
    chunk_rows: tuple[int, ...] = (2048, 16384)
    """Transitions in a chunk, measured beside the default."""
    repetitions: int = 5
    """Repetitions, all sides in turns."""
    seconds: float = 5.0
    """Seconds of each measurement."""


class FixedParams:
    """A params source that hands out the same params for ever."""

    def __init__(self, params: Params) -> None:
        self._params = params

    def newest(self) -> Params:
        """See ParamsReader."""
        return self._params


class RingWriter:
    """Copies chunks into a ring of its own, after de-duplication as in the replay server, until the time is up."""

    def __init__(self, capacity: int, observation_size: int, seconds: float) -> None:
        self._buffer = ReplayBuffer(capacity, observation_size)
        self._seen = SeenSequences()
        self._env_steps = self._terminations = 0
        self._seconds = seconds
        self._first_chunk: float | None = None  # when it came
        self._began: tuple[float, int] | None = None  # when the warm-up was over, and what the ring had taken by then
        self.rows_per_second = float("nan")  # known once the time is up

    def add(self, chunk: Chunk) -> AddReply:
        """See ReplayWriter."""
        if self._seen.first_time((chunk.actor_id, chunk.incarnation), chunk.seq):
            self._buffer.insert(chunk.rows)
            self._env_steps += chunk.env_steps
            self._terminations += int(chunk.episodes.terminated.sum())
        return AddReply(self._env_steps, self._terminations, held="", stop=self._is_time_up(), params=None)

    def _is_time_up(self) -> bool:
        now, inserted = perf_counter(), self._buffer.inserted
        if self._first_chunk is None:
            self._first_chunk = now
        if self._began is None:
            if now - self._first_chunk >= _WARM_UP_SECONDS:
                self._began = now, inserted
            return False
        passed = now - self._began[0]
        if passed < self._seconds:
            return False
        self.rows_per_second = (inserted - self._began[1]) / passed
        return True


def measure_collection(settings: Collection) -> list[dict[str, Any]]:
    """One row for each number of environments and chunk size; `ours`, `alone`, `at_once` hold every repetition.

    `alone`: one process without Ray. `at_once`: as many such processes as actors, all together: what sharing the cores
    costs by itself.
    """
    ray_environment.prepare(embedded=True)
    from driver.embedded.start import start_embedded  # imports ray, after its environment variables are set

    environment = probe(_ENV_ID)
    session = start_embedded(cpus=settings.actors + 1, dashboard=False)
    try:
        rows = [row for envs in settings.envs for row in _measure_envs(settings, envs, environment)]
    finally:
        session.close()
    report(rows)
    return rows


def report(rows: list[dict[str, Any]]) -> None:
    """Every number of environments and chunk size."""
    actors, cores = rows[0]["actors"], rows[0]["cores"]
    title = f"{actors} actors, {cores} cores: thousand transitions/s in the ring"
    table = Table(title=title, box=SIMPLE, pad_edge=False, collapse_padding=True)
    for column in ("envs", "chunk", "ours", "one process", f"{actors} processes", "ratio"):
        table.add_column(column, justify="right")
    for row in rows:
        sides = (spread([value / 1e3 for value in row[side]], ".0f") for side in ("ours", "alone", "at_once"))
        table.add_row(str(row["envs"]), f"{row['chunk_rows']:,}", *sides, spread(row["ratio"], ".2f"))
    Console().print(table)
    print(f"median [lowest, highest]; ratio: ours / ({cores} x one process without Ray)")
    print(f"bar: {BAR:g} for {BAR_ACTORS} actors of {BAR_ENVS} environments")


def _measure_envs(settings: Collection, envs: int, environment: EnvironmentSpec) -> list[dict[str, Any]]:
    """All chunk sizes, the default first; the sides of all of them in turns."""
    # Not every system can say which cores a process may use.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    default = ActorConfig(actors=settings.actors, envs_per_actor=envs).rows_per_chunk
    sizes = list(dict.fromkeys([default, *settings.chunk_rows]))
    rows: list[dict[str, Any]] = [
        {
            "actors": settings.actors,
            "envs": envs,
            "chunk_rows": size,
            "default_chunk": size == default,
            "cores": cores,
            "bar": BAR if (settings.actors, envs) == (BAR_ACTORS, BAR_ENVS) else None,
            "ours": [],
            "alone": [],
            "at_once": [],
            "ratio": [],
        }
        for size in sizes
    ]
    for _ in range(settings.repetitions):
        for row in rows:
            shape = (settings.actors, envs, row["chunk_rows"])
            row["ours"].append(_collect_through_ray(*shape, settings.seconds, environment))
            row["alone"].append(_collect_in_processes(1, *shape, settings.seconds))
            row["at_once"].append(_collect_in_processes(settings.actors, *shape, settings.seconds))
            row["ratio"].append(row["ours"][-1] / (cores * row["alone"][-1]))
    return rows


# Through Ray


def _collect_through_ray(
    actors: int, envs: int, chunk_rows: int, seconds: float, environment: EnvironmentSpec
) -> float:
    """Transitions/s in the ring: the roles of a run without learner and evaluator."""
    import ray

    from learner.client import CONTROL_GROUP
    from replay_server.client import ReplayWriter
    from replay_server.server import ReplayServer

    actor_config = _actor_config(actors, envs, chunk_rows)
    replay_config = ReplayConfig(tolerance_samples=_LIMITER_OPEN, max_env_steps=None)
    size = environment.observation_size
    config = resolve(Config(actor=actor_config, replay=replay_config), size)
    replay = (
        ray.remote(ReplayServer)
        .options(num_cpus=1)
        .remote(config.replay, size, rows_per_call(config, size), seed_sequence(_SEED, "replay"))
    )
    remote_actor = ray.remote(concurrency_groups={CONTROL_GROUP: 1})(Actor).options(num_cpus=1)
    handles = [remote_actor.remote(actor_id, config.actor, environment, _HIDDEN, _SEED) for actor_id in range(actors)]
    try:
        params = _fixed_params(environment)
        runs = [handle.run.remote(0, ReplayWriter(replay), params) for handle in handles]
        stats = [handle.stats.options(concurrency_group=CONTROL_GROUP) for handle in handles]
        _wait_until_all_have_shipped(stats, runs)
        rows_per_second = _count_arrivals(replay, runs, seconds)
        ray.get(replay.stop.remote(), timeout=_STOP_SECONDS)
        ray.get(runs, timeout=_STOP_SECONDS)
    finally:
        for handle in [*handles, replay]:
            ray.kill(handle)
    return rows_per_second


def _wait_until_all_have_shipped(stats: Sequence[Any], runs: Sequence[Any]) -> None:
    """`stats`: the method of each actor. Raises TimeoutError."""
    import ray

    deadline = perf_counter() + _READY_SECONDS
    while min(one.chunks for one in ray.get([ask.remote() for ask in stats], timeout=_READY_SECONDS)) < 2:
        if perf_counter() > deadline:
            raise TimeoutError(f"not every actor has shipped a chunk after {_READY_SECONDS:g} s")
        _let_run(runs, 0.1)


def _count_arrivals(replay: Any, runs: Sequence[Any], seconds: float) -> float:
    """Transitions/s between two moments, after a warm-up.

    A moment is when the report is asked for: counting is the first thing that the server does for it, and its
    episodes come later.
    """
    import ray

    report = ray.get(replay.report.remote(0))
    _let_run(runs, _WARM_UP_SECONDS)
    began = perf_counter()
    report = ray.get(replay.report.remote(report.episodes.next))
    inserted, passed = report.stats.transitions, 0.0
    while passed < seconds:
        _let_run(runs, min(_REPORT_SECONDS, seconds - passed))
        passed = perf_counter() - began
        report = ray.get(replay.report.remote(report.episodes.next))
    rows: int = report.stats.transitions - inserted
    return rows / passed


def _let_run(runs: Sequence[Any], seconds: float) -> None:
    """Waits. Raises what an actor raised, and RuntimeError when one ended by itself."""
    import ray

    ended, _ = ray.wait(list(runs), timeout=seconds)
    if ended:
        ray.get(ended)
        raise RuntimeError("an actor ended before it was told to stop")


# Without Ray


def _collect_in_processes(count: int, actors: int, envs: int, chunk_rows: int, seconds: float) -> float:
    """Transitions/s of `count` processes together, with one BLAS thread each, as Ray gives to an actor of one CPU."""
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    processes = []
    for index in range(count):
        arguments = (index, actors, envs, chunk_rows, seconds)
        code = f"from benchmarks.collection import collect_alone; print(collect_alone(*{arguments!r}))"
        processes.append(
            subprocess.Popen(
                [sys.executable, "-c", code],
                cwd=ROOT,
                env=variables,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    rows_per_second = 0.0
    for process in processes:
        output, errors = process.communicate()
        if process.returncode != 0:
            raise RuntimeError(f"a process without Ray exited with {process.returncode}:\n{errors}")
        rows_per_second += float(output)
    return rows_per_second


def collect_alone(actor_id: int, actors: int, envs: int, chunk_rows: int, seconds: float) -> float:
    """Transitions/s of this process alone: an actor as in a run of so many, and a ring beside it."""
    environment = probe(_ENV_ID)
    actor = Actor(actor_id, _actor_config(actors, envs, chunk_rows), environment, _HIDDEN, _SEED)
    writer = RingWriter(ReplayConfig().capacity_transitions, environment.observation_size, seconds)
    actor.run(0, writer, _fixed_params(environment))
    return writer.rows_per_second


# For both


def _actor_config(actors: int, envs: int, chunk_rows: int) -> ActorConfig:
    return ActorConfig(actors=actors, envs_per_actor=envs, chunk_rows=chunk_rows)


def _fixed_params(environment: EnvironmentSpec) -> FixedParams:
    """Random ones, the same in every process."""
    rng = np.random.default_rng(_SEED)
    shapes = layer_shapes(environment.observation_size, _HIDDEN, environment.action_count)
    arrays = {
        name: (rng.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float32) for name, shape in shapes.items()
    }
    return FixedParams(Params(version=0, env_steps=0, arrays=arrays))
