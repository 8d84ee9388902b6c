"""Replay shard: holds transitions. What is counted over all shards, and who waits for whom, is the coordinator's.

In:   add(Chunk)                  from the actors; the ack comes from the coordinator, which may hold it
      draw_encoded(bytes)         from the learner, a SampleRequest that was granted; brings |TD errors| along
Out:  ChunkFacts                  to the coordinator, once the rows are in the ring
      Rows                        drawn at random; a draw never waits

The only ring of a single replay server, or one of several that the driver runs as async Ray actors: one event loop, so
whatever has no await in it is one step.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from common.config import ReplayConfig
from common.process import be_nice
from common.time_use import ACTIVITIES, TimeUse
from common.types import AddReply, Chunk, ChunkFacts, Rows
from replay_server.buffer import ReplayBuffer
from replay_server.coordinator import NICENESS
from replay_server.deduplication import SeenSequences
from replay_server.random_blocks import RandomBlocks
from replay_server.request import decode
from replay_server.sharding import shard_capacity, shard_of_chunk
from replay_server.stats import ShardStats


class Authority(Protocol):
    """Counts chunks and holds acks."""

    async def add(self, facts: ChunkFacts) -> AddReply:
        """See Coordinator."""
        ...

    async def wait_for_ack(self, params_held: int) -> AddReply:
        """See Coordinator."""
        ...


class ReplayShard:
    """A ring that takes every chunk once."""

    def __init__(
        self,
        config: ReplayConfig,
        observation_size: int,
        seeds: np.random.SeedSequence,
        coordinator: Authority,
        shard: int = 0,
    ) -> None:
        be_nice(NICENESS)
        self._shard, self._shards = shard, config.replay_shards
        capacity = shard_capacity(config.capacity_transitions, shard, self._shards)
        self._buffer = ReplayBuffer(capacity, observation_size, shard, self._shards)
        self._rng = RandomBlocks(np.random.default_rng(seeds))
        self._coordinator = coordinator
        self._seen = SeenSequences()
        self._duplicates = 0
        self._sampled = 0
        self._time_use = TimeUse(ACTIVITIES["replay"])

    def __repr__(self) -> str:
        return f"replay-{self._shard}"

    async def add(self, chunk: Chunk) -> AddReply:
        """Inserts a chunk once, however often it comes; returns when the actor may go on, or says why not yet.

        Raises ValueError on a chunk that belongs to another shard.
        """
        self._time_use.spent("between_calls")
        owner = shard_of_chunk(chunk.actor_id, chunk.seq, self._shards)
        if owner != self._shard:
            raise ValueError(f"chunk {chunk.seq} of actor {chunk.actor_id} came to shard {self._shard}, not {owner}")
        # Of an actor's numbers each shard gets one in so many; divided, they have no gaps.
        if self._seen.first_time((chunk.actor_id, chunk.incarnation), chunk.seq // self._shards):
            self._buffer.insert(chunk.rows)
        else:
            self._duplicates += 1
        self._time_use.spent("inserting")
        return await self._coordinator.add(_facts(chunk, self._shard))

    async def wait_for_ack(self, params_held: int) -> AddReply:
        """Goes on waiting for an ack that was held, for an actor that holds params of this version."""
        return await self._coordinator.wait_for_ack(params_held)

    async def draw_encoded(self, message: bytes) -> Rows:
        """Takes |TD errors| of this shard's items and draws, of a request as one buffer."""
        request = decode(message)
        self.update_priorities(request.ids, request.priority)
        return self.draw(request.rows)

    def update_priorities(self, ids: NDArray[np.int64], priority: NDArray[np.float32]) -> None:
        """Takes |TD errors| `[P]` by id."""
        self._time_use.spent("between_calls")
        self._buffer.update_priorities(ids, priority)
        self._time_use.spent("sampling")

    def draw(self, rows: int) -> Rows:
        """So many rows, drawn uniformly from the items alive, as a fresh array."""
        self._time_use.spent("between_calls")
        drawn = self._buffer.sample(rows, self._rng)
        self._sampled += rows
        self._time_use.spent("sampling")
        return drawn

    def stats(self) -> ShardStats:
        """A snapshot."""
        return ShardStats(
            transitions=self._buffer.inserted,
            size=self._buffer.size,
            capacity=self._buffer.capacity,
            sampled=self._sampled,
            duplicate_chunks=self._duplicates,
            evicted_priority_updates=self._buffer.evicted_updates,
            seconds=self._time_use.seconds,
        )


def _facts(chunk: Chunk, shard: int) -> ChunkFacts:
    return ChunkFacts(
        actor_id=chunk.actor_id,
        incarnation=chunk.incarnation,
        seq=chunk.seq,
        params_version=chunk.params_version,
        params_held=chunk.params_held,
        params_held_since=chunk.params_held_since,
        env_steps=chunk.env_steps,
        episodes=chunk.episodes,
        rows=len(chunk.rows),
        shard=shard,
    )
