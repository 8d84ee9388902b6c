"""Does it fit? Asked before anything is created or allocated."""

from __future__ import annotations

from pathlib import Path

import psutil

from common.config import BadInput, Config
from common.types import EnvironmentSpec
from replay_server.buffer import row_bytes

MB = 1024**2
OBJECT_STORE_BYTES = 256 * MB
_RAY_BYTES = 700 * MB + OBJECT_STORE_BYTES  # GCS, raylet, agents, dashboard, object store
_LEARNER_BYTES = 600 * MB  # mostly torch
_ROLE_BYTES = 130 * MB  # a process with Ray, numpy and gymnasium
_EPISODE_ENVIRONMENTS = 100  # the evaluator's


def replay_processes(shards: int) -> int:
    """The shards, and their coordinator where they are several."""
    return shards + (shards > 1)


def available_memory() -> int:
    """Bytes that this process's machine or container can still give."""
    available = int(psutil.virtual_memory().available)
    limit, used = _read_int("/sys/fs/cgroup/memory.max"), _read_int("/sys/fs/cgroup/memory.current")
    if limit is not None and used is not None:
        available = min(available, max(0, limit - used))
    return available


def check_memory(config: Config, environment: EnvironmentSpec, available: int) -> None:
    """Raises BadInput unless ring and actors fit into `available` bytes, naming what would fit."""
    row = row_bytes(environment.observation_size)
    capacity, actors = config.replay.replay_capacity_transitions, config.actor.actors
    environment_bytes = 2048 + 64 * environment.observation_size * (config.actor.n_step + 1)
    actor_bytes = _ROLE_BYTES + config.actor.envs_per_actor * environment_bytes
    shards = config.replay.replay_shards
    without_replay = _RAY_BYTES + _LEARNER_BYTES + _ROLE_BYTES + _EPISODE_ENVIRONMENTS * environment_bytes
    fixed = without_replay + replay_processes(shards) * _ROLE_BYTES
    if fixed + capacity * row + actors * actor_bytes <= available:
        return
    have = f"{available / MB:,.0f} MB are available"
    least = _ROLE_BYTES + 1000 * row  # for one actor and a small ring
    if shards > 1 and fixed + least > available:
        fits = max(1, (available - without_replay - least) // _ROLE_BYTES - 1)  # one of the processes coordinates
        raise BadInput(
            f"--replay-shards {shards}: their processes need {(fixed - without_replay) / MB:,.0f} MB and {have}; "
            f"at most {fits:,} would fit"
        )
    if fixed + least > available:
        raise BadInput(
            f"--actors {actors}: not even one actor fits, {have} and Ray with the learner needs {fixed / MB:,.0f}"
        )
    for_ring = available - fixed - actors * actor_bytes
    for_actors = available - fixed - capacity * row
    one_actor = _ROLE_BYTES + environment_bytes
    if capacity * row > available - fixed - one_actor:
        fits = max(for_ring, available - fixed - one_actor) // row
        raise BadInput(
            f"--replay-capacity-transitions {capacity}: needs {capacity * row / MB:,.0f} MB and {have}; "
            f"at most {fits:,} transitions would fit"
        )
    if for_actors // one_actor >= actors:
        most = max(1, (for_actors // actors - _ROLE_BYTES) // environment_bytes)
        raise BadInput(
            f"--envs-per-actor {config.actor.envs_per_actor}: {actors} actors with so many need "
            f"{actors * actor_bytes / MB:,.0f} MB and {have}; at most {most:,} would fit"
        )
    raise BadInput(
        f"--actors {actors}: they need {actors * actor_bytes / MB:,.0f} MB and {have}; "
        f"at most {max(1, for_actors // actor_bytes):,} would fit"
    )


def _read_int(path: str) -> int | None:
    try:
        return int(Path(path).read_text())
    except (OSError, ValueError):  # no such limit, or "max"
        return None
