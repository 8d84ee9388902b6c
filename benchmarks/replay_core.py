"""Is the ring as fast as a replay buffer in C++, and how much of Ray's speed do sampled replies reach?"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from actors.actor import join_episodes
from benchmarks.launching import spread
from common.config import BadInput, Config, ReplayConfig, resolve, rows_per_call
from common.rows import columns, pack
from common.seeding import seed_sequence
from common.types import Chunk, Transition
from driver import ray_environment
from replay_server.buffer import ReplayBuffer
from replay_server.random_blocks import RandomBlocks

SAMPLE_BARS = {128: 3.0, 2048: 5.0}  # rows a call -> ratio to reach
INSERT_BAR = 1.0
RAY_BAR = 0.5

_OBSERVATION_SIZE = 4  # CartPole's
_FILL_ROWS = 1000  # of a chunk while a ring is filled
_CALLS_IN_FLIGHT = 2  # of bare messages, as many as ReplayReader keeps
_CALLS_PER_CLOCK = 16  # calls between two looks at the clock
_LIMITER_OPEN = 1e15  # samples of tolerance: no sample call waits and no ack is held


@dataclass(frozen=True)
class ReplayCore:
    """Samples and inserts CartPole rows beside cpprb, and reads sampled replies through Ray beside a bare message."""

    capacities: tuple[int, ...] = (100_000, 1_000_000)
    """Transitions in the full rings."""
    sample_rows: tuple[int, ...] = (128, 2048)
    """Transitions in a sample call."""
    insert_rows: tuple[int, ...] = (64, 1024)
    """Transitions in an inserted chunk."""
    repetitions: int = 7
    """Repetitions, both sides in turns."""
    seconds: float = 0.2
    """Seconds of each side in a repetition, at least."""
    through_ray: bool = True
    """Measure through Ray too."""
    ray_capacity: int = 50_000
    """Transitions in the replay server's full ring."""
    ray_seconds: float = 1.0
    """Seconds of each side in a repetition through Ray, at least."""


def measure_replay_core(settings: ReplayCore) -> list[dict[str, Any]]:
    """One row for each operation, capacity and number of rows, and one for the way through Ray.

    `ours`, `theirs` and `ratio` have a value for each repetition. Raises BadInput where cpprb is not installed.
    """
    rows = [row for capacity in settings.capacities for row in _measure_ring(settings, capacity)]
    if settings.through_ray:
        rows.append(_measure_through_ray(settings))
    report(rows)
    return rows


def report(rows: list[dict[str, Any]]) -> None:
    """A table for each ring in one process, then the way through Ray."""
    for capacity in dict.fromkeys(row["capacity"] for row in rows if row["operation"] != "read"):
        title = f"ring of {capacity:,}: million rows/s, median [lowest, highest]"
        table = Table(title=title, box=SIMPLE, pad_edge=False)
        for column in ("rows a call", "ours", "cpprb", "ratio", "bar"):
            table.add_column(column, justify="right")
        for row in rows:
            if row["operation"] != "read" and row["capacity"] == capacity:
                table.add_row(f"{row['operation']} {row['rows_per_call']:,}", *_sides_and_ratio(row))
        Console().print(table)
    for row in rows:
        if row["operation"] == "read":
            ours, theirs, ratio, bar = _sides_and_ratio(row)
            rate = spread([value / 1e6 for value in row["ours_rows_per_second"]], ".3g")
            print(f"through Ray, {row['rows_per_call']:,} rows = {row['bytes_per_call']:,} bytes in a reply:")
            print(f"  sampled replies: {ours} MB/s, {rate} million rows/s")
            print(f"  ray.get of a message of the same bytes: {theirs} MB/s")
            print(f"  ratio: {ratio}, bar {bar}")


def _sides_and_ratio(row: dict[str, Any]) -> tuple[str, str, str, str]:
    """In millions, as text."""
    ours, theirs = ([value / 1e6 for value in row[side]] for side in ("ours", "theirs"))
    bar = "-" if row["bar"] is None else f"{row['bar']:g}"
    return spread(ours, ".3g"), spread(theirs, ".3g"), spread(row["ratio"], ".2f"), bar


# In one process


class _CpprbRing:
    """cpprb's ReplayBuffer with the columns and dtypes of ours; ids are one more of them."""

    def __init__(self, capacity: int) -> None:
        try:
            import cpprb  # type: ignore[import-untyped,import-not-found,unused-ignore]
        except ImportError:
            raise BadInput('cpprb is not installed; pip install -e ".[bench]" installs it') from None
        observation = {"shape": _OBSERVATION_SIZE, "dtype": np.float32}
        self._buffer = cpprb.ReplayBuffer(
            capacity,
            {
                "id": {"dtype": np.int64},
                "observation": observation,
                "action": {"dtype": np.int64},
                "reward": {"dtype": np.float32},
                "discount": {"dtype": np.float32},
                "next_observation": observation,
            },
        )
        self._next_id = 0

    def insert(self, rows: Transition) -> NDArray[np.int64]:
        """Copies rows in under ids that go on rising, and returns these, as ours does."""
        ids = np.arange(self._next_id, self._next_id + len(rows.action), dtype=np.int64)
        self._buffer.add(
            id=ids,
            observation=rows.observation,
            action=rows.action,
            reward=rows.reward,
            discount=rows.discount,
            next_observation=rows.next_observation,
        )
        self._next_id += len(ids)
        return ids

    def sample(self, count: int) -> dict[str, NDArray[Any]]:
        """`count` rows drawn uniformly, as fresh arrays by column name; `[count, 1]` where ours is `[count]`."""
        rows: dict[str, NDArray[Any]] = self._buffer.sample(count)
        return rows


def _measure_ring(settings: ReplayCore, capacity: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    uniform = RandomBlocks(rng)  # as the replay server draws
    ours, theirs = ReplayBuffer(capacity, _OBSERVATION_SIZE), _CpprbRing(capacity)
    for chunk in _chunks_to_fill(capacity, rng):
        ours.insert(pack(chunk))
        theirs.insert(chunk)
    _check_same_columns(ours, theirs, rng)

    def row(
        operation: str, count: int, bar: float | None, call_ours: Callable[[], Any], call_theirs: Callable[[], Any]
    ) -> dict[str, Any]:
        sides = _take_turns(call_ours, call_theirs, count, settings.repetitions, settings.seconds)
        return {"operation": operation, "capacity": capacity, "rows_per_call": count, "bar": bar, **sides}

    def sample_row(count: int) -> dict[str, Any]:
        def our_columns() -> Transition:
            return columns(ours.sample(count, uniform))

        return row("sample", count, SAMPLE_BARS.get(count), our_columns, lambda: theirs.sample(count))

    def insert_row(count: int) -> dict[str, Any]:
        """Either side inserts what its own callers bring: packed rows, and a column for each field."""
        chunk = _cartpole_rows(count, rng)
        rows = pack(chunk)
        return row("insert", count, INSERT_BAR, lambda: ours.insert(rows), lambda: theirs.insert(chunk))

    return [*map(sample_row, settings.sample_rows), *map(insert_row, settings.insert_rows)]


def _check_same_columns(ours: ReplayBuffer, theirs: _CpprbRing, rng: np.random.Generator) -> None:
    """Both sides hold the same rows under the same ids, and hand out the same columns in the same dtypes."""
    sampled = theirs.sample(256)
    ids = sampled.pop("id").ravel()
    drawn = ours.sample(256, rng)
    drawn_columns: list[NDArray[Any]] = list(columns(drawn))
    same_rows: list[NDArray[Any]] = list(columns(ours.gather(ids)))
    assert ids.dtype == drawn["id"].dtype
    for name, column, same in zip(Transition._fields, drawn_columns, same_rows, strict=True):
        their_column = sampled.pop(name)
        assert their_column.dtype == column.dtype, name
        np.testing.assert_array_equal(their_column.reshape(same.shape), same, err_msg=name)
    assert not sampled, sampled.keys()


# Through Ray


class _Message:
    """The trivial Ray actor: answers every call with one array of so many bytes."""

    def __init__(self, size_bytes: int) -> None:
        self._array = np.zeros(size_bytes, dtype=np.uint8)

    def get(self) -> NDArray[np.uint8]:
        """The array, `[size_bytes]`."""
        return self._array


def _measure_through_ray(settings: ReplayCore) -> dict[str, Any]:
    """Both sides are read by this process, and both return zero-copy views of what arrived."""
    ray_environment.prepare(embedded=True)
    import ray  # after its environment variables are set

    from driver.session import start_embedded
    from replay_server.client import ReplayReader, ReplayWriter
    from replay_server.server import ReplayServer

    replay_config = ReplayConfig(
        replay_capacity_transitions=settings.ray_capacity, tolerance_samples=_LIMITER_OPEN, max_env_steps=None
    )
    config = resolve(Config(replay=replay_config), _OBSERVATION_SIZE)
    rows = rows_per_call(config, _OBSERVATION_SIZE)
    session = start_embedded(cpus=2, dashboard=False)
    try:
        server = (
            ray.remote(ReplayServer)
            .options(num_cpus=1)
            .remote(config.replay, _OBSERVATION_SIZE, rows, seed_sequence(0, "replay"))
        )
        writer = ReplayWriter(server)
        for seq, chunk_rows in enumerate(_chunks_to_fill(settings.ray_capacity, np.random.default_rng(0))):
            writer.add(_chunk(seq, chunk_rows))
        read_sampled, size_bytes = _sampled_replies(ReplayReader(server, rows), rows)
        message = ray.remote(_Message).options(num_cpus=1).remote(size_bytes)
        pending: deque[Any] = deque()

        def read_message() -> NDArray[np.uint8]:
            while len(pending) < _CALLS_IN_FLIGHT:
                pending.append(message.get.remote())
            array: NDArray[np.uint8] = ray.get(pending.popleft())
            return array

        assert read_message().nbytes == size_bytes
        sides = _take_turns(read_sampled, read_message, size_bytes, settings.repetitions, settings.ray_seconds)
    finally:
        session.close()
    return {
        "operation": "read",
        "capacity": settings.ray_capacity,
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


# For both


def _take_turns(
    ours: Callable[[], Any], theirs: Callable[[], Any], amount: int, repetitions: int, seconds: float
) -> dict[str, list[float]]:
    """Ours, theirs, ours, theirs ... `amount`: of rows or bytes in a call; what comes back is that per second."""
    sides: dict[str, list[float]] = {"ours": [], "theirs": [], "ratio": []}
    for _ in range(repetitions):
        sides["ours"].append(amount * _calls_per_second(ours, seconds))
        sides["theirs"].append(amount * _calls_per_second(theirs, seconds))
        sides["ratio"].append(sides["ours"][-1] / sides["theirs"][-1])
    return sides


def _calls_per_second(call: Callable[[], Any], seconds: float) -> float:
    """Over at least so many seconds, after a few calls that warm caches and take what was in flight."""
    for _ in range(_CALLS_PER_CLOCK):
        call()
    calls, began = 0, perf_counter()
    while (passed := perf_counter() - began) < seconds:
        for _ in range(_CALLS_PER_CLOCK):
            call()
        calls += _CALLS_PER_CLOCK
    return calls / passed


def _chunks_to_fill(capacity: int, rng: np.random.Generator) -> Iterator[Transition]:
    """Chunks of rows, `capacity` in all."""
    for first in range(0, capacity, _FILL_ROWS):
        yield _cartpole_rows(min(_FILL_ROWS, capacity - first), rng)


def _cartpole_rows(count: int, rng: np.random.Generator) -> Transition:
    """Transitions `[count]` of CartPole's shapes and dtypes, every row another one."""
    return Transition(
        observation=rng.standard_normal((count, _OBSERVATION_SIZE), dtype=np.float32),
        action=rng.integers(2, size=count, dtype=np.int64),
        reward=rng.random(count, dtype=np.float32),
        discount=rng.random(count, dtype=np.float32),
        next_observation=rng.standard_normal((count, _OBSERVATION_SIZE), dtype=np.float32),
    )


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
