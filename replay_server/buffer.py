"""A ring of preallocated columns."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from common.types import Batch, Transition


class Uniform(Protocol):
    """numpy's Generator, or RandomBlocks."""

    def random(self, size: int, /) -> NDArray[np.float64]:
        """`[size]`, in [0, 1)."""
        ...


def row_bytes(observation_size: int) -> int:
    """Bytes that one transition takes in the ring."""
    return 2 * 4 * observation_size + 8 + 4 + 4 + 4  # two observations, action, reward, discount, priority


class ReplayBuffer:
    """The newest `capacity` transitions.

    Items have ids 0, 1, 2 ... that rise for ever; the slot is id % capacity, and the newest `size` ids are alive.
    Gathering by `take` is several times faster than fancy indexing.
    """

    def __init__(self, capacity: int, observation_size: int) -> None:
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, got {capacity}")
        self.capacity = capacity
        self.inserted = 0  # also the next id
        self.evicted_updates = 0  # priority updates for items that were gone
        self._columns = Transition(
            observation=np.zeros((capacity, observation_size), dtype=np.float32),
            action=np.zeros(capacity, dtype=np.int64),
            reward=np.zeros(capacity, dtype=np.float32),
            discount=np.zeros(capacity, dtype=np.float32),
            next_observation=np.zeros((capacity, observation_size), dtype=np.float32),
        )
        self._priority = np.zeros(capacity, dtype=np.float32)  # |TD error| last seen, NaN before the first

    @property
    def size(self) -> int:
        """Items alive."""
        return min(self.inserted, self.capacity)

    def insert(self, rows: Transition) -> NDArray[np.int64]:
        """Copies rows `[N, ...]` in, evicting the oldest. Returns their ids `[N]`. Raises ValueError on odd shapes."""
        count = len(rows.action)
        columns: list[NDArray[Any]] = list(self._columns)
        arrivals: list[NDArray[Any]] = list(rows)
        for name, own, arrived in zip(Transition._fields, columns, arrivals, strict=True):
            if arrived.shape != (count, *own.shape[1:]):
                raise ValueError(f"{name} has shape {arrived.shape}, expected {(count, *own.shape[1:])}")
        ids = np.arange(self.inserted, self.inserted + count, dtype=np.int64)
        kept = min(count, self.capacity)  # of a chunk larger than the ring only its end stays
        first = (self.inserted + count - kept) % self.capacity
        until_wrap = min(kept, self.capacity - first)
        unknown = np.full(count, np.nan, dtype=np.float32)
        for own, arrived in zip([*columns, self._priority], [*arrivals, unknown], strict=True):
            newest = arrived[count - kept :]
            own[first : first + until_wrap] = newest[:until_wrap]
            own[: kept - until_wrap] = newest[until_wrap:]
        self.inserted += count
        return ids

    def sample(self, count: int, rng: Uniform) -> Batch:
        """`count` rows drawn uniformly with replacement from the items alive, as fresh arrays."""
        size = self.size
        if size == 0:
            raise ValueError(f"{count} rows asked of an empty replay buffer")
        # Below 1 times the number next below size is below size, also when rounded.
        ids = (rng.random(count) * np.nextafter(size, 0)).astype(np.int64)
        ids += self.inserted - size
        return Batch(
            ids=ids,
            importance_weight=np.ones(count, dtype=np.float32),
            transition=self._take(ids),
        )

    def gather(self, ids: NDArray[np.int64]) -> Transition:
        """The rows of items alive, as fresh arrays. Raises KeyError if one is not."""
        self._check_alive(ids)
        return self._take(ids)

    def update_priorities(self, ids: NDArray[np.int64], priority: NDArray[np.float32]) -> None:
        """Stores |TD error| by id; ids that are gone are ignored and counted."""
        alive = (ids >= self.inserted - self.size) & (ids < self.inserted)
        self.evicted_updates += int(ids.size - alive.sum())
        self._priority[self._slots(ids[alive])] = priority[alive]

    def priorities(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """The last |TD error| of items alive `[N]`; NaN where none came back yet. Raises KeyError if one is not."""
        self._check_alive(ids)
        return self._priority.take(self._slots(ids))

    def _check_alive(self, ids: NDArray[np.int64]) -> None:
        if ids.size and (ids.min() < self.inserted - self.size or ids.max() >= self.inserted):
            raise KeyError(f"ids {ids.min()}..{ids.max()}; alive are {self.inserted - self.size}..{self.inserted - 1}")

    def _take(self, ids: NDArray[np.int64]) -> Transition:
        slots = self._slots(ids)
        observation, action, reward, discount, next_observation = self._columns
        return Transition(
            observation=observation.take(slots, axis=0),
            action=action.take(slots),
            reward=reward.take(slots),
            discount=discount.take(slots),
            next_observation=next_observation.take(slots, axis=0),
        )

    def _slots(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """id % capacity of items alive: they belong to this lap of the ring or the last. A division takes longer."""
        slots = ids - self.inserted // self.capacity * self.capacity
        np.add(slots, self.capacity, out=slots, where=slots < 0)
        return slots
