"""Part of `replay-core`: the ring beside cpprb's, both in this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.cartpole_rows import OBSERVATION_SIZE, cartpole_rows, chunks_to_fill
from benchmarks.taking_turns import take_turns
from common.config import BadInput
from common.rows import columns, pack
from common.types import Transition
from replay_server.buffer import ReplayBuffer
from replay_server.random_blocks import RandomBlocks

SAMPLE_BARS = {128: 3.0, 2048: 5.0}  # rows a call -> ratio to reach
INSERT_BAR = 1.0


class _CpprbRing:
    """cpprb's ReplayBuffer with the columns and dtypes of ours; ids are one more of them."""

    def __init__(self, capacity: int) -> None:
        try:
            import cpprb  # type: ignore[import-untyped,import-not-found,unused-ignore]
        except ImportError:
            raise BadInput('cpprb is not installed; pip install -e ".[bench]" installs it') from None
        observation = {"shape": OBSERVATION_SIZE, "dtype": np.float32}
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


def measure_ring(
    capacity: int, sample_rows: Sequence[int], insert_rows: Sequence[int], repetitions: int, seconds: float
) -> list[dict[str, Any]]:
    """One row for each operation and number of rows a call, on a ring of `capacity` that is full."""
    rng = np.random.default_rng(0)
    uniform = RandomBlocks(rng)  # as the replay server draws
    ours, theirs = ReplayBuffer(capacity, OBSERVATION_SIZE), _CpprbRing(capacity)
    for chunk in chunks_to_fill(capacity, rng):
        ours.insert(pack(chunk))
        theirs.insert(chunk)
    _check_same_columns(ours, theirs, rng)

    def row(
        operation: str, count: int, bar: float | None, call_ours: Callable[[], Any], call_theirs: Callable[[], Any]
    ) -> dict[str, Any]:
        sides = take_turns(call_ours, call_theirs, count, repetitions, seconds)
        return {"operation": operation, "capacity": capacity, "rows_per_call": count, "bar": bar, **sides}

    def sample_row(count: int) -> dict[str, Any]:
        def our_columns() -> Transition:
            return columns(ours.sample(count, uniform))

        return row("sample", count, SAMPLE_BARS.get(count), our_columns, lambda: theirs.sample(count))

    def insert_row(count: int) -> dict[str, Any]:
        """Either side inserts what its own callers bring: packed rows, and a column for each field."""
        chunk = cartpole_rows(count, rng)
        rows = pack(chunk)
        return row("insert", count, INSERT_BAR, lambda: ours.insert(rows), lambda: theirs.insert(chunk))

    return [*map(sample_row, sample_rows), *map(insert_row, insert_rows)]


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
