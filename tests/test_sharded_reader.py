"""The learner's reader over several shards, with a coordinator and shards that answer when a test lets them."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from fakes import assert_rows_are
from numpy.typing import NDArray
from scipy import stats

from common.rows import pack
from common.types import Grant, Rows, Transition
from replay_server.buffer import ReplayBuffer
from replay_server.request import decode
from replay_server.sharded_reader import ShardedReader

NO_IDS, NO_PRIORITY = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32)


class FakeCall:
    """A call that has arrived; whoever waits for one that has not would wait for ever."""

    def __init__(self, value: Any, arrives: bool = True) -> None:
        self._value = value
        self.arrives = arrives
        self.taken = False

    def arrived(self) -> bool:
        return self.arrives

    def value(self) -> Any:
        assert self.arrives, "waited for a call that does not arrive"
        self.taken = True
        if isinstance(self._value, Exception):
            raise self._value
        return self._value


def granted(*sizes: int, env_steps: int = 0, stop: bool = False) -> Grant:
    return Grant(granted=True, waiting_for="", env_steps=env_steps, stop=stop, sizes=sizes)


def refused(waiting_for: str = "", env_steps: int = 0, stop: bool = False) -> Grant:
    return Grant(granted=False, waiting_for=waiting_for, env_steps=env_steps, stop=stop, sizes=(0, 0))


class FakeCoordinator:
    """Gives these grants, and the last one for ever."""

    def __init__(self, *grants: Grant) -> None:
        self._grants = deque(grants)
        self.calls: list[FakeCall] = []
        self.arrives = True

    def __call__(self, rows: int) -> FakeCall:
        assert rows > 0
        grant = self._grants.popleft() if len(self._grants) > 1 else self._grants[0]
        self.calls.append(FakeCall(grant, self.arrives))
        return self.calls[-1]


class FakeShard:
    """Draws from items that hold their own ids, and keeps the |TD errors| that come."""

    def __init__(self, shard: int, shards: int, size: int, failure: Exception | None = None) -> None:
        self._buffer = ReplayBuffer(max(1, size), 2, shard, shards)
        self._buffer.insert(items(np.arange(size) * shards + shard))
        self._rng = np.random.default_rng(shard)
        self._failure = failure
        self.calls: list[FakeCall] = []
        self.drawn = 0
        self.priorities: dict[int, float] = {}

    def __call__(self, message: bytes) -> FakeCall:
        request = decode(message)
        assert request.rows or request.ids.size, "a call for nothing"
        for id_, priority in zip(request.ids.tolist(), request.priority.tolist(), strict=True):
            assert id_ not in self.priorities, "sent twice"
            self.priorities[id_] = priority
        self._buffer.update_priorities(request.ids, request.priority)  # refuses what is not its own
        self.drawn += request.rows
        rows = self._buffer.sample(request.rows, self._rng)
        rows.flags.writeable = False
        self.calls.append(FakeCall(self._failure or rows))
        return self.calls[-1]


def items(ids: NDArray[np.int64]) -> Rows:
    """Rows that hold these ids everywhere."""
    observation = np.repeat(ids[:, None], 2, axis=1).astype(np.float32)
    numbers = ids.astype(np.float32)
    return pack(Transition(observation, ids, numbers, numbers, observation + 1))


def reader(
    coordinator: FakeCoordinator, shards: Sequence[FakeShard], rows: int = 40, calls_in_flight: int = 1
) -> ShardedReader:
    return ShardedReader(coordinator, shards, rows, calls_in_flight, np.random.SeedSequence(1))


def test_every_row_is_a_uniform_draw_from_all_items_alive_and_so_is_every_part_of_a_reply() -> None:
    """400 calls over shards of 30, 90 and 15 items: 100 rows each, of which minibatches are the quarters."""
    sizes = (30, 90, 15)
    shards = [FakeShard(shard, 3, size) for shard, size in enumerate(sizes)]
    learner = reader(FakeCoordinator(granted(*sizes)), shards, rows=100)
    replies = [learner.sample(NO_IDS, NO_PRIORITY).rows for _ in range(400)]
    for rows in replies:
        assert rows is not None
        assert len(rows) == 100
        assert_rows_are(rows, rows["id"])
    ids = np.stack([rows["id"] for rows in replies if rows is not None])  # [calls, rows]
    alive = np.concatenate([np.arange(size) * 3 + shard for shard, size in enumerate(sizes)])
    assert set(ids.flat) == set(alive.tolist())

    expected = np.array(sizes) / sum(sizes)
    for part in (ids, *np.split(ids, 4, axis=1)):
        of_shard = np.bincount(part.ravel() % 3, minlength=3)
        assert stats.chisquare(of_shard, expected * part.size).pvalue > 0.001
    of_item = np.array([(ids == item).sum() for item in alive])
    assert stats.chisquare(of_item).pvalue > 0.001
    assert [shard.drawn for shard in shards] == np.bincount(ids.ravel() % 3).tolist()


def test_how_many_rows_a_shard_gives_varies_as_if_each_row_picked_its_shard() -> None:
    """Equal quotas would have no spread at all; here the variance is n p (1 - p) = 100 * 0.2 * 0.8 = 16."""
    shards = [FakeShard(0, 2, 20), FakeShard(1, 2, 80)]
    learner = reader(FakeCoordinator(granted(20, 80)), shards, rows=100)
    counts = []
    for _ in range(1000):
        before = shards[0].drawn
        learner.sample(NO_IDS, NO_PRIORITY)
        counts.append(shards[0].drawn - before)
    assert np.mean(counts) == pytest.approx(20, abs=0.5)
    assert np.var(counts) == pytest.approx(16, rel=0.2)


def test_the_draws_repeat_with_the_seed() -> None:
    def ids() -> list[int]:
        shards = [FakeShard(shard, 2, 50) for shard in range(2)]
        rows = reader(FakeCoordinator(granted(50, 50)), shards).sample(NO_IDS, NO_PRIORITY).rows
        assert rows is not None
        return list(rows["id"])

    assert ids() == ids()


def test_an_empty_shard_is_not_asked() -> None:
    shards = [FakeShard(0, 3, 0), FakeShard(1, 3, 7), FakeShard(2, 3, 0)]
    rows = reader(FakeCoordinator(granted(0, 7, 0)), shards).sample(NO_IDS, NO_PRIORITY).rows
    assert rows is not None
    assert set((rows["id"] % 3).tolist()) == {1}
    assert [len(shard.calls) for shard in shards] == [0, 1, 0]


def test_td_errors_reach_the_shard_of_their_ids_once() -> None:
    shards = [FakeShard(shard, 3, 50) for shard in range(3)]
    learner = reader(FakeCoordinator(granted(50, 50, 50)), shards, calls_in_flight=3)
    sent: dict[int, float] = {}
    for first in range(0, 120, 8):
        ids = np.arange(first, first + 8)
        priority = (ids / 7).astype(np.float32)
        learner.sample(ids, priority)
        sent |= zip(ids.tolist(), priority.tolist(), strict=True)
    for shard, ring in enumerate(shards):
        assert ring.priorities == {id_: value for id_, value in sent.items() if id_ % 3 == shard}


def test_td_errors_reach_a_shard_that_gives_no_rows_too() -> None:
    shards = [FakeShard(0, 2, 1), FakeShard(1, 2, 10_000)]
    learner = reader(FakeCoordinator(granted(1, 10_000)), shards, rows=4)
    learner.sample(np.array([0]), np.array([0.5], dtype=np.float32))
    assert shards[0].drawn == 0
    assert shards[0].priorities == {0: 0.5}


def test_td_errors_wait_while_nothing_is_granted() -> None:
    shards = [FakeShard(shard, 2, 50) for shard in range(2)]
    learner = reader(FakeCoordinator(refused("a test"), granted(50, 50)), shards)
    ids, priority = np.array([3]), np.array([0.5], dtype=np.float32)
    learner.sample(ids, priority)
    assert shards[1].priorities == {}
    ids[:], priority[:] = 6, 0.25  # the learner's arrays are its own again
    learner.sample(ids, priority)
    assert (shards[0].priorities, shards[1].priorities) == ({6: 0.25}, {3: 0.5})


def test_a_request_that_was_not_granted_says_why_and_draws_nothing() -> None:
    shards = [FakeShard(shard, 2, 50) for shard in range(2)]
    learner = reader(FakeCoordinator(refused("a test", env_steps=7), granted(50, 50, env_steps=9)), shards)
    reply = learner.sample(NO_IDS, NO_PRIORITY)
    assert (reply.rows, reply.waiting_for, reply.env_steps, reply.stop) == (None, "a test", 7, False)
    assert [shard.calls for shard in shards] == [[], []]
    reply = learner.sample(NO_IDS, NO_PRIORITY)
    assert reply.rows is not None
    assert (len(reply.rows), reply.env_steps) == (40, 9)


def test_a_stop_reaches_the_learner() -> None:
    shards = [FakeShard(shard, 2, 50) for shard in range(2)]
    learner = reader(FakeCoordinator(refused(env_steps=11, stop=True)), shards, calls_in_flight=3)
    reply = learner.sample(NO_IDS, NO_PRIORITY)
    assert (reply.stop, reply.rows, reply.env_steps) == (True, None, 11)


def test_while_the_learner_trains_later_calls_are_granted_and_drawn() -> None:
    """Each call asks for one more grant, and draws whatever was granted meanwhile; it waits for the oldest alone."""
    coordinator = FakeCoordinator(granted(50, 50))
    shards = [FakeShard(shard, 2, 50) for shard in range(2)]
    learner = reader(coordinator, shards, calls_in_flight=3)
    coordinator.arrives = False

    def let_arrive(call: int) -> None:
        coordinator.calls[call].arrives = True

    with pytest.raises(AssertionError, match="does not arrive"):
        learner.sample(NO_IDS, NO_PRIORITY)  # three asked for, and the oldest is waited for
    assert len(coordinator.calls) == 3
    let_arrive(0)
    let_arrive(2)  # out of order
    assert learner.sample(NO_IDS, NO_PRIORITY).rows is not None
    assert [call.taken for call in coordinator.calls] == [True, False, True]
    assert [len(shard.calls) for shard in shards] == [2, 2]
    assert [[call.taken for call in shard.calls] for shard in shards] == [[True, False]] * 2  # not waited for

    let_arrive(1)
    assert learner.sample(NO_IDS, NO_PRIORITY).rows is not None
    assert len(coordinator.calls) == 4
    assert [len(shard.calls) for shard in shards] == [3, 3]
    assert learner.sample(NO_IDS, NO_PRIORITY).rows is not None  # of the third: drawn long since
    assert [len(shard.calls) for shard in shards] == [3, 3]
    assert len(coordinator.calls) == 5


def test_what_a_shard_raises_is_raised() -> None:
    shards = [FakeShard(0, 2, 50), FakeShard(1, 2, 50, failure=RuntimeError("the shard is gone"))]
    with pytest.raises(RuntimeError, match="the shard is gone"):
        reader(FakeCoordinator(granted(50, 50)), shards).sample(NO_IDS, NO_PRIORITY)
