"""Part of `replay-core`: sampled replies through Ray beside a bare message of the same bytes, as many in flight."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actors.actor import join_episodes
from benchmarks.cartpole_rows import OBSERVATION_SIZE, chunks_to_fill
from benchmarks.taking_turns import take_turns
from common.config import Config, ReplayConfig, resolve, rows_per_call
from common.rows import pack
from common.seeding import seed_sequence
from common.types import Chunk, Transition
from driver import ray_environment

RAY_BAR = 0.5
_LIMITER_OPEN = 1e15  # samples of tolerance: no sample call waits and no ack is held


class _Message:
    """The trivial Ray actor: answers every call with one array of so many bytes."""

    def __init__(self, size_bytes: int) -> None:
        self._array = np.zeros(size_bytes, dtype=np.uint8)

    def get(self) -> NDArray[np.uint8]:
        """The array, `[size_bytes]`."""
        return self._array


def measure_through_ray(capacity: int, repetitions: int, seconds: float) -> dict[str, Any]:
    """Both sides are read by this process, and both return zero-copy views of what arrived."""
    ray_environment.prepare(embedded=True)
    import ray  # after its environment variables are set

    from driver.embedded.start import start_embedded
    from replay_server.client import CALLS_IN_FLIGHT, ReplayReader, ReplayWriter
    from replay_server.server import ReplayServer

    replay_config = ReplayConfig(
        replay_capacity_transitions=capacity, tolerance_samples=_LIMITER_OPEN, max_env_steps=None
    )
    config = resolve(Config(replay=replay_config), OBSERVATION_SIZE)
    rows = rows_per_call(config, OBSERVATION_SIZE)
    session = start_embedded(cpus=2, dashboard=False)
    try:
        server = (
            ray.remote(ReplayServer)
            .options(num_cpus=1)
            .remote(config.replay, OBSERVATION_SIZE, rows, seed_sequence(0, "replay"))
        )
        writer = ReplayWriter(server)
        for seq, chunk_rows in enumerate(chunks_to_fill(capacity, np.random.default_rng(0))):
            writer.add(_chunk(seq, chunk_rows))
        read_sampled, size_bytes = _sampled_replies(ReplayReader(server, rows), rows)
        message = ray.remote(_Message).options(num_cpus=1).remote(size_bytes)
        pending: deque[Any] = deque()

        def read_message() -> NDArray[np.uint8]:
            while len(pending) < CALLS_IN_FLIGHT:
                pending.append(message.get.remote())
            array: NDArray[np.uint8] = ray.get(pending.popleft())
            return array

        assert read_message().nbytes == size_bytes
        sides = take_turns(read_sampled, read_message, size_bytes, repetitions, seconds)
    finally:
        session.close()
    return {
        "operation": "read",
        "capacity": capacity,
        "rows_per_call": rows,
        "bytes_per_call": size_bytes,
        "bar": RAY_BAR,
        "ours_rows_per_second": [bytes_per_second * rows / size_bytes for bytes_per_second in sides["ours"]],
        **sides,
    }


def _sampled_replies(reader: Any, rows: int) -> tuple[Callable[[], None], int]:
    """A call that reads one reply as the learner does, |TD errors| of the last one sent along; bytes of a reply."""
    no_ids, priority = np.zeros(0, dtype=np.int64), np.ones(rows, dtype=np.float32)
    first = reader.sample(no_ids, priority[:0]).rows
    size_bytes = first.nbytes
    trained = first["id"].copy()  # the ids themselves are a view that pins the whole reply

    def read() -> None:
        nonlocal trained
        reply = reader.sample(trained, priority)
        assert reply.rows is not None, reply.waiting_for  # the limiter is open
        trained = reply.rows["id"].copy()

    return read, size_bytes


def _chunk(seq: int, rows: Transition) -> Chunk:
    return Chunk(
        actor_id=0,
        incarnation=0,
        seq=seq,
        params_version=0,
        params_held=0,
        params_held_since=0.0,
        env_steps=len(rows.action),
        rows=pack(rows),
        episodes=join_episodes([]),
    )
