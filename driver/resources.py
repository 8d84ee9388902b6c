"""Does it fit? Asked before anything is created or allocated."""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

from common.config import BadInput, Config, rows_per_call
from common.env_args import EVALUATOR_COPIES
from common.params import layer_shapes
from common.types import EnvironmentSpec
from replay_server.buffer import row_bytes

KB = 1024
MB = 1024**2
OBJECT_STORE_BYTES = 256 * MB
_RAY_BYTES = 700 * MB + OBJECT_STORE_BYTES  # GCS, raylet, agents, dashboard, object store
_LEARNER_BYTES = 600 * MB  # mostly torch
PROCESS_BYTES = 130 * MB  # one with Ray, numpy and gymnasium
FORKED_PROCESS_BYTES = 60 * MB  # one that shares these with the template it was forked from; seen: 35 MB of its own
_FLOAT_BYTES = 4
# Seen in runs with Discrete(5000) and with images of 84x84x3.
_COPY_BYTES = 2048  # of a copy of an environment beside its observations
_OBSERVATIONS_OF_COPY = 8  # float32: its own, those of the vector class, and what a step makes of them
_PARAMS_OF_PLAYER = 3  # the message, what is acted with, what it replaces
_PARAMS_OF_LEARNER = 10  # online, target, gradient, average, Adam's two, and those on their way out
_LARGE_ROW_BYTES = 50_000  # the ring takes 2.5 GB at its default size
_SMALL_FRAME = 84 * 84  # numbers
_LEAST_RING = 1000  # transitions
_SHARE_OF_MEMORY = 2  # one part in so many of what is available, for a run whose ring nobody asked for
_REPLIES_HELD = 6  # three in flight, where they come from and where they are used


def replay_processes(shards: int) -> int:
    """The shards, and their coordinator where they are several."""
    return shards + (shards > 1)


def word_on_rows(config: Config, environment: EnvironmentSpec) -> str | None:
    """What large observations and images cost and what to use instead; None where there is nothing to say."""
    row, capacity = row_bytes(environment.observation_size), config.replay.capacity_transitions
    if row <= _LARGE_ROW_BYTES and not environment.image:
        return None
    cost = (
        f"a row takes {row / KB:,.0f} kB, and the ring {capacity * row / MB:,.0f} MB at "
        f"--replay-capacity-transitions {capacity}"
    )
    if not environment.image:
        return (
            f"--env {environment.id}: observations of {environment.observation_size:,} numbers: {cost}; a wrapper that "
            "keeps fewer, --env-wrapper MODULE:FUNCTION, or fewer transitions take less"
        )
    shape = "x".join(map(str, environment.image))
    frames = (
        "small grey frames, by gymnasium.wrappers.GrayscaleObservation and ResizeObservation in a function that "
        "--env-wrapper MODULE:FUNCTION names, or "
    )
    small = environment.observation_size <= _SMALL_FRAME
    return (
        f"--env {environment.id}: images of {shape}: {cost}. There is no convolutional network here, and this one "
        f"learns little from pixels; {'' if small else frames}fewer transitions take less"
    )


class _Needs(NamedTuple):
    """Bytes."""

    row: int
    chunk: int
    replies: int  # of sample calls
    environment: int  # each copy of an actor
    one_actor: int  # of one environment
    actor: int
    without_replay: int  # all but actors, the ring and its processes
    fixed: int  # all but actors and the ring


def _needs(config: Config, environment: EnvironmentSpec, process_bytes: int) -> _Needs:
    size = environment.observation_size
    row = row_bytes(size)
    shapes = layer_shapes(size, config.network.hidden, environment.action_count)
    params = sum(math.prod(shape) for shape in shapes.values()) * _FLOAT_BYTES
    reply = rows_per_call(config, size) * row
    chunk = config.actor.rows_per_chunk * row
    copy_bytes = _COPY_BYTES + _OBSERVATIONS_OF_COPY * size * _FLOAT_BYTES
    # The accumulator keeps the last n observations of each copy, and a chunk has room for the rows that they make.
    environment_bytes = copy_bytes + config.actor.n_step * (size * _FLOAT_BYTES + row)
    player = process_bytes + _PARAMS_OF_PLAYER * params
    one_actor = player + chunk + environment_bytes
    learner = _LEARNER_BYTES + _PARAMS_OF_LEARNER * params
    replies = _REPLIES_HELD * reply
    copies = min(EVALUATOR_COPIES, config.evaluator.evaluation_episodes)
    without_replay = _RAY_BYTES + learner + replies + chunk + player + copies * copy_bytes
    return _Needs(
        row=row,
        chunk=chunk,
        replies=replies,
        environment=environment_bytes,
        one_actor=one_actor,
        actor=one_actor + (config.actor.envs_per_actor - 1) * environment_bytes,
        without_replay=without_replay,
        fixed=without_replay + replay_processes(config.replay.replay_shards) * process_bytes,
    )


def default_ring(
    config: Config, environment: EnvironmentSpec, available: int, process_bytes: int = PROCESS_BYTES
) -> int:
    """Transitions of the ring where nobody asked for a size: the default, or as many as fit into half of the memory.

    The default too where fewer than 1,000 would fit: then `check_memory` says what would help.
    """
    needs = _needs(config, environment, process_bytes)
    room = available // _SHARE_OF_MEMORY - needs.fixed - config.actor.actors * needs.actor
    fits = room // needs.row
    least = max(_LEAST_RING, config.replay.replay_shards, config.learner.batch_size)
    return config.replay.capacity_transitions if fits < least else min(config.replay.capacity_transitions, fits)


def check_memory(
    config: Config, environment: EnvironmentSpec, available: int, process_bytes: int = PROCESS_BYTES
) -> None:
    """Raises BadInput unless all roles with what they hold fit into `available` bytes, naming what would fit.

    `process_bytes`: of each role's process beside what it holds for its work.
    """
    capacity, actors, shards = config.replay.capacity_transitions, config.actor.actors, config.replay.replay_shards
    needs = _needs(config, environment, process_bytes)
    row, chunk, replies, environment_bytes, one_actor, actor_bytes, without_replay, fixed = needs
    missing = fixed + capacity * row + actors * actor_bytes - available
    if missing <= 0:
        return
    have = f"{available / MB:,.0f} MB are available"
    chunks = (actors + 1) * chunk  # where they are filled, and where one arrives
    if chunks > max(capacity * row, actors * (actor_bytes - chunk)):
        rows = config.actor.rows_per_chunk
        if rows != dataclasses.replace(config.actor, chunk_rows=None).rows_per_chunk:
            _refuse_share("chunk-rows", rows, chunks, missing, have)
    if replies > max(capacity * row, actors * actor_bytes):
        _refuse_share("batch-size", config.learner.batch_size, replies, missing, have)
    least = one_actor + _LEAST_RING * row  # for one actor and a small ring
    over = fixed + least - available
    if shards > 1 and over > 0:
        fits = max(1, (available - without_replay - least) // process_bytes - 1)  # one of the processes coordinates
        raise BadInput(
            f"--replay-shards {shards}: their processes need {(fixed - without_replay) / MB:,.0f} MB and {have}; "
            f"at most {fits:,} would fit"
        )
    if over > 0:
        # Where nobody sets its size, a chunk has so many rows for each environment.
        envs = config.actor.envs_per_actor
        _refuse_share("envs-per-actor", envs, chunks + actors * envs * environment_bytes, missing, have)
        raise BadInput(
            f"--env {environment.id}: with its {environment.observation_size:,} numbers an observation not even one "
            f"actor fits: {have} and Ray with the learner needs {fixed / MB:,.0f}; use a machine with more, or smaller "
            "observations, which --env-wrapper can make"
        )
    for_ring = available - fixed - actors * actor_bytes
    for_actors = available - fixed - capacity * row
    if capacity * row > available - fixed - one_actor:
        fits = max(for_ring, available - fixed - one_actor) // row
        smaller = ", more of smaller observations, which --env-wrapper can make" if row > _LARGE_ROW_BYTES else ""
        raise BadInput(
            f"--replay-capacity-transitions {capacity}: needs {capacity * row / MB:,.0f} MB and {have}; "
            f"at most {fits:,} transitions would fit{smaller}"
        )
    if for_actors // one_actor >= actors:
        most = 1 + (for_actors // actors - one_actor) // environment_bytes
        raise BadInput(
            f"--envs-per-actor {config.actor.envs_per_actor}: {actors} actors with so many need "
            f"{actors * actor_bytes / MB:,.0f} MB and {have}; at most {most:,} would fit"
        )
    raise BadInput(
        f"--actors {actors}: they need {actors * actor_bytes / MB:,.0f} MB and {have}; "
        f"at most {max(1, for_actors // actor_bytes):,} would fit"
    )


def _refuse_share(setting: str, value: int, needs: int, missing: int, have: str) -> None:
    """Raises BadInput where a smaller value alone would free the `missing` bytes."""
    fits = int(value * (1 - missing / needs))
    if fits >= 1:
        raise BadInput(f"--{setting} {value}: needs {needs / MB:,.0f} MB and {have}; at most {fits:,} would fit")
