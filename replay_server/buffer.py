"""A ring of preallocated rows."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from common.rows import row_dtype
from common.types import Rows


class Uniform(Protocol):
    """numpy's Generator, or RandomBlocks."""

    def random(self, size: int, /) -> NDArray[np.float64]:
        """`[size]`, in [0, 1)."""
        ...


def row_bytes(observation_size: int) -> int:
    """Bytes that one transition takes in the ring."""
    return row_dtype(observation_size).itemsize + 4  # its priority


class ReplayBuffer:
    """The newest `capacity` transitions.

    Items have numbers 0, 1, 2 ... that rise for ever; the slot is number % capacity, and the newest `size` are alive.
    Outside they are known by their ids: number * shards + shard, in a single ring the number itself.
    """

    def __init__(self, capacity: int, observation_size: int, shard: int = 0, shards: int = 1) -> None:
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, got {capacity}")
        if not 0 <= shard < shards:
            raise ValueError(f"shard {shard} of {shards}")
        self.capacity = capacity
        self.inserted = 0  # also the next number
        self.evicted_updates = 0  # priority updates for items that were gone
        self._shard, self._shards = shard, shards
        self._rows: Rows = np.zeros(capacity, dtype=row_dtype(observation_size))
        self._ids = self._rows["id"]
        self._bytes = self._rows.view(np.void(self._rows.itemsize).dtype)  # to copy whole rows, not field by field
        self._priority = np.zeros(capacity, dtype=np.float32)  # |TD error| last seen, NaN before the first

    @property
    def size(self) -> int:
        """Items alive."""
        return min(self.inserted, self.capacity)

    def insert(self, rows: Rows) -> NDArray[np.int64]:
        """Copies rows `[N]` in, evicting the oldest. Returns their ids `[N]`. Raises ValueError for another dtype."""
        if rows.dtype != self._rows.dtype:
            raise ValueError(f"rows of {rows.dtype}, expected {self._rows.dtype}")
        first_id = self.inserted * self._shards + self._shard
        ids = np.arange(first_id, first_id + len(rows) * self._shards, self._shards, dtype=np.int64)
        kept = min(len(rows), self.capacity)  # of a chunk larger than the ring only its end stays
        first = (self.inserted + len(rows) - kept) % self.capacity
        until_wrap = min(kept, self.capacity - first)
        newest, newest_ids = rows[len(rows) - kept :].view(self._bytes.dtype), ids[len(rows) - kept :]
        for slots, part in (
            (slice(first, first + until_wrap), slice(until_wrap)),
            (slice(kept - until_wrap), slice(until_wrap, None)),
        ):
            self._bytes[slots] = newest[part]
            self._ids[slots] = newest_ids[part]
            self._priority[slots] = np.nan
        self.inserted += len(rows)
        return ids

    def sample(self, count: int, rng: Uniform) -> Rows:
        """`count` rows drawn uniformly with replacement from the items alive, as a fresh array."""
        if self.inserted == 0:
            raise ValueError(f"{count} rows asked of an empty replay buffer")
        # The items alive are those of the slots below size. Below 1 times the number next below size is below size,
        # also when rounded. `take` is several times faster than fancy indexing.
        below = math.nextafter(self.size, 0)
        return self._rows.take((rng.random(count) * below).astype(np.int64))

    def gather(self, ids: NDArray[np.int64]) -> Rows:
        """The rows of items alive, by id, as a fresh array. Raises KeyError if one is not."""
        return self._rows.take(self._slots(self._numbers_alive(ids)))

    def update_priorities(self, ids: NDArray[np.int64], priority: NDArray[np.float32]) -> None:
        """Stores |TD error| by id; ids that are gone are ignored and counted."""
        numbers = self._numbers(ids)
        alive = (numbers >= self.inserted - self.size) & (numbers < self.inserted)
        self.evicted_updates += int(ids.size - alive.sum())
        self._priority[self._slots(numbers[alive])] = priority[alive]

    def priorities(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """The last |TD error| of items alive `[N]`; NaN where none came back yet. Raises KeyError if one is not."""
        return self._priority.take(self._slots(self._numbers_alive(ids)))

    def _numbers(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Of these ids. Raises ValueError if one belongs to another shard."""
        if self._shards == 1:
            return ids
        numbers, shards = np.divmod(ids, self._shards)
        if (shards != self._shard).any():
            raise ValueError(f"ids of other shards than {self._shard} of {self._shards}: {ids[shards != self._shard]}")
        return numbers

    def _numbers_alive(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Raises KeyError where one is not."""
        numbers = self._numbers(ids)
        oldest = self.inserted - self.size
        if numbers.size and (numbers.min() < oldest or numbers.max() >= self.inserted):
            raise KeyError(f"numbers {numbers.min()}..{numbers.max()}; alive are {oldest}..{self.inserted - 1}")
        return numbers

    def _slots(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """number % capacity of items alive, of this lap of the ring or the last. A division takes longer."""
        slots = numbers - self.inserted // self.capacity * self.capacity
        np.add(slots, self.capacity, out=slots, where=slots < 0)
        return slots
