"""The learner's reader where several shards hold the transitions: asks the coordinator, then draws from the shards.

A pipeline of sample calls hides that each takes two trips: while the learner trains, the next ones are granted, and
draws of those that were granted are on their way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from common.types import Grant, Rows, SampleReply, SampleRequest
from replay_server.request import encode
from replay_server.sharding import shard_of_ids

Value_co = TypeVar("Value_co", covariant=True)


class Call(Protocol[Value_co]):
    """A call under way."""

    def arrived(self) -> bool:
        """Whether `value` would return at once."""
        ...

    def value(self) -> Value_co:
        """Waits for it. Raises what went wrong, and TimeoutError where no answer comes."""
        ...


@dataclass
class _Sampling:
    """One sample call: asked for, then answered, then drawn where it was granted."""

    asked: Call[Grant]
    grant: Grant | None = None
    draws: list[Call[Rows]] = field(default_factory=list)


class ShardedReader:
    """Every row is a uniform draw from all items alive: its shard is drawn in proportion to the shards' sizes."""

    def __init__(
        self,
        ask: Callable[[int], Call[Grant]],
        draw: Sequence[Callable[[bytes], Call[Rows]]],
        rows_per_call: int,
        calls_in_flight: int,
        seeds: np.random.SeedSequence,
    ) -> None:
        """`ask` the coordinator for a grant of so many rows; `draw` from a shard what a SampleRequest says."""
        self._ask = ask
        self._draw = draw
        self._rows = rows_per_call
        self._calls = calls_in_flight
        self._rng = np.random.default_rng(seeds)
        self._pending: deque[_Sampling] = deque()
        self._trained: list[tuple[NDArray[np.int64], NDArray[np.float32]]] = []  # not sent to the shards yet

    def sample(self, ids: NDArray[np.int64], priority: NDArray[np.float32]) -> SampleReply:
        """The oldest call's reply; sends the |TD error| of earlier rows along with the next draws."""
        if len(ids):
            self._trained.append((ids.copy(), priority.copy()))
        while len(self._pending) < self._calls:
            self._pending.append(_Sampling(self._ask(self._rows)))
        oldest = self._pending[0]
        for sampling in self._pending:
            if sampling.grant is None and (sampling is oldest or sampling.asked.arrived()):
                self._go_on(sampling)
        return self._finish(self._pending.popleft())

    def _go_on(self, sampling: _Sampling) -> None:
        """Takes the coordinator's answer, waiting for it, and draws what was granted."""
        grant = sampling.grant = sampling.asked.value()
        if not grant.granted:
            return
        counts = self._split(grant.sizes)
        ids, priority = self._take_trained()
        owners = shard_of_ids(ids, len(self._draw))
        for shard, draw in enumerate(self._draw):
            own = owners == shard
            if counts[shard] or own.any():
                request = SampleRequest(rows=int(counts[shard]), ids=ids[own], priority=priority[own])
                sampling.draws.append(draw(encode(request)))

    def _split(self, sizes: tuple[int, ...]) -> NDArray[np.int64]:
        """How many rows of a call come from each shard: as if every row picked its item, of all items alive."""
        alive = np.array(sizes)
        some = np.flatnonzero(alive)  # only these: rounding must not give a row to an empty shard
        counts = np.zeros(len(sizes), dtype=np.int64)
        counts[some] = self._rng.multinomial(self._rows, alive[some] / alive.sum())
        return counts

    def _take_trained(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        trained, self._trained = self._trained, []
        ids = [np.zeros(0, np.int64), *(ids for ids, _ in trained)]
        priorities = [np.zeros(0, np.float32), *(priority for _, priority in trained)]
        return np.concatenate(ids), np.concatenate(priorities)

    def _finish(self, sampling: _Sampling) -> SampleReply:
        """Puts the shards' rows together in random order, so that every minibatch is a draw from the whole."""
        grant = sampling.grant
        assert grant is not None
        rows: Rows | None = None
        if sampling.draws:
            rows = _join([draw.value() for draw in sampling.draws])
            rows = rows.take(self._rng.permutation(len(rows)))
        return SampleReply(rows=rows, waiting_for=grant.waiting_for, env_steps=grant.env_steps, stop=grant.stop)


def _join(parts: list[Rows]) -> Rows:
    """One after the other; as bytes, because numpy joins structured rows field by field."""
    packed = parts[0].dtype
    return np.concatenate([part.view(np.void(packed.itemsize).dtype) for part in parts]).view(packed)
