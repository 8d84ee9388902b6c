"""One of several shards, with a coordinator that writes down what it is told."""

from __future__ import annotations

import numpy as np
import pytest
from event_loop import on_a_loop
from fakes import assert_rows_are, chunk, episodes, facts

from common.config import ReplayConfig
from common.rows import columns
from common.types import AddReply, ChunkFacts, SampleRequest
from replay_server.request import encode
from replay_server.shard import ReplayShard
from replay_server.sharding import shard_of_chunk

ACK = AddReply(env_steps=7, terminations=0, held="", stop=False, params=None)


class FakeCoordinator:
    """Answers every call at once."""

    def __init__(self) -> None:
        self.facts: list[ChunkFacts] = []
        self.waits: list[int] = []

    async def add(self, facts: ChunkFacts) -> AddReply:
        assert isinstance(facts.rows, int)
        self.facts.append(facts)
        return ACK

    async def wait_for_ack(self, params_held: int) -> AddReply:
        self.waits.append(params_held)
        return ACK


def shard(coordinator: FakeCoordinator, number: int, shards: int = 3, capacity: int = 100) -> ReplayShard:
    config = ReplayConfig(replay_capacity_transitions=capacity, replay_shards=shards)
    return ReplayShard(config, 2, np.random.SeedSequence(1), coordinator, number)


def request(rows: int, ids: tuple[int, ...] = ()) -> bytes:
    return encode(SampleRequest(rows, np.array(ids, dtype=np.int64), np.ones(len(ids), dtype=np.float32)))


@on_a_loop
async def test_what_is_counted_of_a_chunk_goes_to_the_coordinator_without_its_rows() -> None:
    coordinator = FakeCoordinator()
    ring = shard(coordinator, 1)
    finished = episodes(10, 20)
    sent = chunk(
        2, range(5), actor_id=5, incarnation=3, params_version=100, params_held=200, params_held_since=1.5,
        env_steps=6, finished=finished,
    )  # fmt: skip
    assert await ring.add(sent) == ACK
    assert coordinator.facts == [
        facts(
            2, 5, shard=1, actor_id=5, incarnation=3, params_version=100, params_held=200, params_held_since=1.5,
            env_steps=6, finished=finished,
        )
    ]  # fmt: skip
    assert await ring.wait_for_ack(200) == ACK
    assert coordinator.waits == [200]


@on_a_loop
async def test_a_repeated_chunk_is_inserted_once_and_asked_for_again() -> None:
    """The coordinator may not have got the first, or its ack may be held."""
    coordinator = FakeCoordinator()
    ring = shard(coordinator, 0)
    for seq in (0, 3, 0, 6, 3):
        assert await ring.add(chunk(seq, range(2))) == ACK
    stats = ring.stats()
    assert (stats.transitions, stats.size, stats.duplicate_chunks) == (6, 6, 2)
    assert [told.seq for told in coordinator.facts] == [0, 3, 0, 6, 3]


@on_a_loop
async def test_a_long_stream_that_is_spread_over_shards_is_inserted_once() -> None:
    """3,000 chunks a shard: far more than a stream may have outstanding."""
    rings = [shard(FakeCoordinator(), number, capacity=60_000) for number in range(3)]
    for seq in range(9000):
        for sent in (seq, seq - 900):
            if sent >= 0:
                await rings[shard_of_chunk(1, sent, 3)].add(chunk(sent, [sent], actor_id=1))
    assert [ring.stats().transitions for ring in rings] == [3000] * 3
    assert sum(ring.stats().duplicate_chunks for ring in rings) == 8100
    held = [set((columns(ring.draw(1000)).action % 3).tolist()) for ring in rings]
    assert held == [{2}, {0}, {1}]  # actor 1 has its chunks 2, 5, 8 ... in shard 0


@on_a_loop
async def test_a_chunk_of_another_shard_is_refused() -> None:
    with pytest.raises(ValueError, match="chunk 1 of actor 4 came to shard 0, not 2"):
        await shard(FakeCoordinator(), 0).add(chunk(1, range(3), actor_id=4))


@on_a_loop
async def test_draws_are_rows_of_this_shard_and_take_td_errors_along() -> None:
    """A capacity of 7 over 3 shards: 2 for the last; its third item is 2 + 3 * 2 = 8, and 2 is gone by then."""
    ring = shard(FakeCoordinator(), 2, capacity=7)
    await ring.add(chunk(2, [2, 5, 8]))
    rows = await ring.draw_encoded(request(50, ids=(2, 5, 8)))
    assert set(rows["id"].tolist()) == {5, 8}
    assert_rows_are(rows, rows["id"])
    stats = ring.stats()
    assert (stats.sampled, stats.evicted_priority_updates, stats.size, stats.capacity) == (50, 1, 2, 2)


@on_a_loop
async def test_td_errors_may_come_without_a_draw() -> None:
    ring = shard(FakeCoordinator(), 0)
    await ring.add(chunk(0, [0, 3]))
    assert len(await ring.draw_encoded(request(0, ids=(0, 3)))) == 0


@on_a_loop
async def test_td_errors_of_another_shard_are_refused() -> None:
    ring = shard(FakeCoordinator(), 0)
    await ring.add(chunk(0, [0, 3]))
    with pytest.raises(ValueError, match=r"ids of other shards than 0 of 3: \[4\]"):
        await ring.draw_encoded(request(1, ids=(0, 4, 3)))
