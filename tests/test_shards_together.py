"""Shards, their coordinator, actors and a learner on one event loop: the law over the whole, and lost replies."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest
from event_loop import on_a_loop
from fakes import WAIT_SECONDS, chunk
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from ray.exceptions import ActorUnavailableError

from common.config import ReplayConfig
from common.types import AddReply, ChunkFacts
from replay_server.client import CoordinatorClient
from replay_server.coordinator import Coordinator
from replay_server.shard import Authority, ReplayShard
from replay_server.sharding import shard_of_chunk

CALLS_IN_FLIGHT = 3


def build(
    config: ReplayConfig, rows_per_call: int, client: Callable[[Coordinator], Authority] = lambda own: own
) -> tuple[Coordinator, list[ReplayShard]]:
    """`client`: how the shards reach the coordinator."""
    coordinator = Coordinator(config, rows_per_call)
    seeds = np.random.SeedSequence(1).spawn(config.replay_shards)
    return coordinator, [
        ReplayShard(config, 2, seeds[shard], client(coordinator), shard) for shard in range(config.replay_shards)
    ]


class Model:
    """Actors that ship chunks of odd sizes as fast as their acks come, and a learner that keeps requests in flight."""

    def __init__(self, config: ReplayConfig, actors: int, rows_per_call: int, most_rows: int, seed: int) -> None:
        self.config = config
        self.rows_per_call = rows_per_call
        self._actors = actors
        self._most_rows = most_rows
        self._rng = np.random.default_rng(seed)
        self.coordinator, self.shards = build(config, rows_per_call)
        self.shipped = 0  # transitions
        self.drawn = 0  # samples

    async def run(self) -> None:
        await asyncio.gather(self._learn(), *(self._act(actor_id) for actor_id in range(self._actors)))

    async def _act(self, actor_id: int) -> None:
        seq, stop = 0, False
        while not stop:
            rows = int(self._rng.integers(self._most_rows + 1))
            sent = chunk(seq, range(rows), actor_id=actor_id, env_steps=rows + 1)
            repeats = 1 + int(self._rng.random() < 0.2)
            shard = self.shards[shard_of_chunk(actor_id, seq, len(self.shards))]
            replies = await asyncio.gather(*(shard.add(sent) for _ in range(repeats)))
            assert not any(reply.held for reply in replies), "waited in vain"
            self.shipped += rows
            seq, stop = seq + 1, replies[-1].stop
            await self._pause()

    async def _learn(self) -> None:
        asked = deque(asyncio.create_task(self.coordinator.grant(self.rows_per_call)) for _ in range(CALLS_IN_FLIGHT))
        while not (grant := await asked.popleft()).stop:
            assert grant.granted, grant.waiting_for
            asked.append(asyncio.create_task(self.coordinator.grant(self.rows_per_call)))
            await self._pause()
            counts = self._rng.multinomial(self.rows_per_call, np.array(grant.sizes) / sum(grant.sizes))
            for shard, count in zip(self.shards, counts, strict=True):
                if count:
                    assert len(shard.draw(int(count))) == count
            self.drawn += self.rows_per_call
        await asyncio.gather(*asked)

    async def _pause(self) -> None:
        """For a few turns of the loop, so that the others come first now and then."""
        for _ in range(self._rng.integers(4)):
            await asyncio.sleep(0)


@settings(max_examples=60, deadline=None, phases=[Phase.generate])  # a smaller example would wait as long
@given(
    shards=st.integers(1, 5),
    actors=st.integers(1, 5),
    rows_per_call=st.integers(1, 67),
    most_rows=st.integers(1, 41),
    capacity=st.integers(5, 300),
    learning_starts=st.integers(1, 90),
    samples_per_insert=st.one_of(st.integers(1, 9).map(float), st.floats(0.1, 9)),
    spare=st.integers(0, 30),
    seed=st.integers(0, 1000),
)
def test_whatever_the_sizes_nobody_waits_in_vain_and_the_law_holds_over_all_shards(
    shards: int,
    actors: int,
    rows_per_call: int,
    most_rows: int,
    capacity: int,
    learning_starts: int,
    samples_per_insert: float,
    spare: int,
    seed: int,
) -> None:
    """Whoever waits in vain is answered after seconds with the reason, which fails the model."""
    config = ReplayConfig(
        replay_shards=shards,
        replay_capacity_transitions=capacity,
        learning_starts_transitions=learning_starts,
        samples_per_insert=samples_per_insert,
        tolerance_samples=rows_per_call / 2 + spare,
        max_env_steps=400,
    )
    model = Model(config, actors, rows_per_call, most_rows, seed)
    asyncio.run(asyncio.wait_for(model.run(), WAIT_SECONDS))

    counted = asyncio.run(model.coordinator.report(0)).stats
    rings = [shard.stats() for shard in model.shards]
    assert counted.transitions == model.shipped == sum(ring.transitions for ring in rings)
    assert sum(ring.capacity for ring in rings) == capacity
    assert sum(ring.sampled for ring in rings) == model.drawn
    assert 0 <= counted.sampled - model.drawn <= CALLS_IN_FLIGHT * rows_per_call
    behind = samples_per_insert * (counted.transitions - learning_starts) - counted.sampled
    in_flight = (actors + 1) * most_rows * samples_per_insert
    if counted.sampled:
        assert behind >= -config.tolerance_samples
    assert behind <= config.tolerance_samples + in_flight
    if model.shipped >= learning_starts and samples_per_insert * (model.shipped - learning_starts) > rows_per_call:
        assert counted.sampled > 0


class LossyHandle:
    """The coordinator's handle on a bad network: by turns a call arrives, is lost, or its reply is."""

    def __init__(self, coordinator: Coordinator) -> None:
        self.add = LossyMethod(coordinator.add)
        self.wait_for_ack = LossyMethod(coordinator.wait_for_ack)


class LossyMethod:
    def __init__(self, method: Callable[..., Awaitable[AddReply]]) -> None:
        self._method = method
        self._fates = deque(["reply lost", "lost", "arrives"])
        self.calls = 0

    async def remote(self, argument: Any) -> AddReply:
        self.calls += 1
        self._fates.rotate(-1)
        fate = self._fates[-1]
        if fate == "lost":
            raise ActorUnavailableError("the request was lost", None)
        reply = await self._method(argument)
        if fate == "reply lost":
            raise ActorUnavailableError("the reply was lost", None)
        return reply


@on_a_loop
async def test_a_lost_reply_between_shard_and_coordinator_neither_loses_nor_doubles_a_count() -> None:
    config = ReplayConfig(replay_shards=2, learning_starts_transitions=1000, tolerance_samples=100)
    handles: list[LossyHandle] = []

    def client(coordinator: Coordinator) -> Authority:
        handles.append(LossyHandle(coordinator))
        return CoordinatorClient(handles[-1])

    coordinator, shards = build(config, 4, client)
    for seq in range(6):
        reply = await shards[seq % 2].add(chunk(seq, range(3), env_steps=5))
        assert reply == AddReply(env_steps=5 * (seq + 1), terminations=0, held="", stop=False, params=None)
    assert [handle.add.calls for handle in handles] == [9, 9]  # each chunk took three
    counted = (await coordinator.report(0)).stats
    assert (counted.env_steps, counted.transitions, counted.chunks) == (30, 18, 6)
    rings = [shard.stats() for shard in shards]
    assert [(ring.transitions, ring.duplicate_chunks) for ring in rings] == [(9, 0), (9, 0)]
    assert (await shards[0].wait_for_ack(0)).env_steps == 30


@on_a_loop
async def test_an_actor_that_repeats_a_chunk_whose_count_is_under_way_changes_nothing() -> None:
    """The actor lost its shard's reply while the shard still waited for the coordinator."""

    class Slow:
        def __init__(self, coordinator: Coordinator) -> None:
            self._coordinator = coordinator

        async def add(self, facts: ChunkFacts) -> AddReply:
            await reached.wait()
            return await self._coordinator.add(facts)

        async def wait_for_ack(self, params_held: int) -> AddReply:
            return await self._coordinator.wait_for_ack(params_held)

    reached = asyncio.Event()
    config = ReplayConfig(replay_shards=2, tolerance_samples=100)
    coordinator, shards = build(config, 4, Slow)
    calls = [asyncio.create_task(shards[0].add(chunk(0, range(3), env_steps=5))) for _ in range(3)]
    await asyncio.sleep(0)
    assert (await coordinator.report(0)).stats.transitions == 0
    reached.set()
    assert [(await call).env_steps for call in calls] == [5, 5, 5]
    assert (await coordinator.report(0)).stats.transitions == 3
    assert (shards[0].stats().transitions, shards[0].stats().duplicate_chunks) == (3, 2)


def test_a_coordinator_that_raises_is_not_asked_again() -> None:
    class Broken:
        class add:  # noqa: N801  as a handle's method looks
            calls = 0

            @classmethod
            async def remote(cls, facts: ChunkFacts) -> AddReply:
                cls.calls += 1
                raise RuntimeError("the coordinator broke")

    config = ReplayConfig(replay_shards=2, tolerance_samples=100)
    _, shards = build(config, 4, lambda _: CoordinatorClient(Broken()))
    with pytest.raises(RuntimeError, match="the coordinator broke"):
        asyncio.run(shards[0].add(chunk(0, range(3))))
    assert Broken.add.calls == 1
