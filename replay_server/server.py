"""Replay server: the only ring and its coordinator in one process, so that one call both grants and draws.

In:   add(Chunk)                  from the actors; the ack is held while they are ahead
      sample_encoded(bytes)       from the learner, a SampleRequest; waits while it is ahead; brings |TD errors| along
      publish(...)                from the learner: the newest params, which every actor gets with its next ack
Out:  AddReply, SampleReply       both carry the count of environment steps, and `stop` when the run ends
      report(after)               statistics and finished episodes, to the driver

Run by the driver as an async Ray actor. Where several shards hold the transitions, it is not there: see shard.py and
coordinator.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from common.config import ReplayConfig
from common.types import AddReply, Chunk, SampleReply, SampleRequest
from replay_server.coordinator import Coordinator
from replay_server.request import decode
from replay_server.shard import ReplayShard
from replay_server.stats import ReplayReport


class ReplayServer:
    """One shard, one coordinator."""

    def __init__(
        self, config: ReplayConfig, observation_size: int, rows_per_call: int, seeds: np.random.SeedSequence
    ) -> None:
        """`rows_per_call`: rows of the learner's sample calls, at most."""
        if config.replay_shards != 1:
            raise ValueError(f"a single replay server for {config.replay_shards} shards")
        self._coordinator = Coordinator(config, rows_per_call)
        self._shard = ReplayShard(config, observation_size, seeds, self._coordinator)

    def __repr__(self) -> str:
        return "replay-0"

    async def add(self, chunk: Chunk) -> AddReply:
        """Inserts a chunk once, however often it comes; returns when the actor may go on, or says why not yet."""
        return await self._shard.add(chunk)

    async def wait_for_ack(self, params_held: int) -> AddReply:
        """Goes on waiting for an ack that was held, for an actor that holds params of this version."""
        return await self._coordinator.wait_for_ack(params_held)

    async def sample_encoded(self, message: bytes) -> SampleReply:
        """`sample`, of a request as one buffer."""
        return await self.sample(decode(message))

    async def sample(self, request: SampleRequest) -> SampleReply:
        """Takes |TD errors|; returns sampled rows as soon as the limiter grants them, or says why not yet."""
        self._shard.update_priorities(request.ids, request.priority)
        grant = await self._coordinator.grant(request.rows)
        return SampleReply(
            rows=self._shard.draw(request.rows) if grant.granted else None,
            waiting_for=grant.waiting_for,
            env_steps=grant.env_steps,
            stop=grant.stop,
        )

    async def publish(self, version: int, published_time: float, content: Any) -> None:
        """Takes the newest params for the actors, see Published; policy lag is measured against their version."""
        await self._coordinator.publish(version, published_time, content)

    async def stop(self) -> None:
        """The run ends: everybody who waits, and every later call, is told so."""
        await self._coordinator.stop()

    async def report(self, after: int) -> ReplayReport:
        """A snapshot, with the finished episodes from number `after` on; forgets the ones before it."""
        report = await self._coordinator.report(after)
        return report._replace(stats=report.stats._replace(shards=(self._shard.stats(),)))
