"""Replay server: holds the transitions, and keeps learner and actors in step.

In:   add(Chunk)                  from the actors; the ack is held while they are ahead
      sample_encoded(bytes)       from the learner, a SampleRequest; waits while it is ahead; brings |TD errors| along
      publish(...)                from the learner: the newest params, which every actor gets with its next ack
Out:  AddReply, SampleReply       both carry the count of environment steps, and `stop` when the run ends
      report(after)               statistics and finished episodes, to the driver

The authority for environment steps, transitions and episodes. Run by the driver as an async Ray actor: one event
loop, so whatever has no await in it is one step. Nobody polls: who must wait holds a future. Every wait is answered
within a few seconds, with the reason if nothing changed.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Any, NamedTuple

import numpy as np

from common.config import ReplayConfig
from common.process import be_nice
from common.time_use import ACTIVITIES, TimeUse
from common.types import AddReply, Chunk, Published, Rows, SampleReply, SampleRequest
from replay_server.buffer import ReplayBuffer
from replay_server.deduplication import SeenSequences
from replay_server.episode_log import EpisodeLog, EpisodesReply
from replay_server.params_delay import ParamsDelay
from replay_server.random_blocks import RandomBlocks
from replay_server.rate_limiter import RateLimiter
from replay_server.request import decode

NICENESS = 5  # it yields to the learner, and the actors to it
REPLY_SECONDS = 5.0  # a waiting call is answered after this time at the latest


class ShardStats(NamedTuple):
    """One ring of transitions. Shard 0 is the only one of a single replay server."""

    transitions: int  # inserted
    size: int  # alive
    capacity: int
    sampled: int


class ActorCounts(NamedTuple):
    """What was accepted from one actor, over all its incarnations."""

    env_steps: int
    episodes: int


class ReplayStats(NamedTuple):
    """What the replay server tells of itself."""

    env_steps: int
    transitions: int
    replay_size: int
    sampled: int
    chunks: int
    duplicate_chunks: int
    evicted_priority_updates: int
    policy_lag_mean: float  # learner steps, over all chunks; NaN before the first
    policy_lag_max: int
    policy_lag_recent: float  # of the last 100 chunks
    params_delay_median_seconds: float  # from publication to the last actor that acts with them; NaN at first
    params_delay_p99_seconds: float
    seconds_since_insert: float
    waiting_for: str  # why somebody waits; "" when nobody does
    actors_waiting: int
    seconds: dict[str, float]  # by activity, see common/time_use.py
    shards: tuple[ShardStats, ...]
    actors: dict[int, ActorCounts]  # by actor id, of those that shipped something


class ReplayReport(NamedTuple):
    """Statistics and the episodes behind them, of one moment."""

    stats: ReplayStats
    episodes: EpisodesReply


class _Waiting(NamedTuple):
    rows: int
    granted: asyncio.Future[Rows | None]


class ReplayServer:
    """The ring with its limiter behind two waiting lines: sample calls, and acks held."""

    def __init__(
        self, config: ReplayConfig, observation_size: int, rows_per_call: int, seeds: np.random.SeedSequence
    ) -> None:
        """`rows_per_call`: rows of the learner's sample calls, at most."""
        assert config.tolerance_samples is not None
        be_nice(NICENESS)
        self._max_env_steps = config.max_env_steps
        self._buffer = ReplayBuffer(config.replay_capacity_transitions, observation_size)
        self._limiter = RateLimiter(
            config.samples_per_insert, config.learning_starts_transitions, config.tolerance_samples, rows_per_call
        )
        self._rng = RandomBlocks(np.random.default_rng(seeds))
        self._seen = SeenSequences()
        self._episodes = EpisodeLog()
        self._sampling: deque[_Waiting] = deque()
        self._held: list[asyncio.Future[None]] = []
        self._stopping = False
        self._env_steps = 0
        self._actors: dict[int, ActorCounts] = {}
        self._newest_version = 0
        self._published: Published | None = None
        self._params_delay = ParamsDelay()
        self._chunks = 0
        self._duplicates = 0
        self._lag_sum = 0
        self._lag_max = 0
        self._recent_lags: deque[int] = deque(maxlen=100)
        self._last_insert = time.monotonic()
        self._time_use = TimeUse(ACTIVITIES["replay"])

    def __repr__(self) -> str:
        return "replay"

    async def add(self, chunk: Chunk) -> AddReply:
        """Inserts a chunk once, however often it comes; returns when the actor may go on, or says why not yet."""
        self._time_use.spent("between_calls")
        if self._seen.first_time((chunk.actor_id, chunk.incarnation), chunk.seq):
            self._insert(chunk)
        else:
            self._duplicates += 1
        return await self.wait_for_ack(chunk.params_held)

    async def wait_for_ack(self, params_held: int) -> AddReply:
        """Goes on waiting for an ack that was held, for an actor that holds params of this version."""
        if self._limiter.holds_acks() and not self._stopping:
            released: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._held.append(released)
            await asyncio.wait([released], timeout=REPLY_SECONDS)
            if not released.done():
                self._held.remove(released)
                return self._ack(params_held, self._why_acks_are_held())
        return self._ack(params_held, "")

    async def sample_encoded(self, message: bytes) -> SampleReply:
        """`sample`, of a request as one buffer."""
        return await self.sample(decode(message))

    async def sample(self, request: SampleRequest) -> SampleReply:
        """Takes |TD errors|; returns sampled rows as soon as the limiter grants them, or says why not yet."""
        self._time_use.spent("between_calls")
        self._buffer.update_priorities(request.ids, request.priority)
        if self._stopping:
            return self._sample_reply(None, "")
        waiting = _Waiting(rows=request.rows, granted=asyncio.get_running_loop().create_future())
        self._sampling.append(waiting)
        self._serve()
        if not waiting.granted.done():
            await asyncio.wait([waiting.granted], timeout=REPLY_SECONDS)
        if not waiting.granted.done():
            self._sampling.remove(waiting)
            return self._sample_reply(None, self._why_samples_wait(waiting.rows))
        return self._sample_reply(waiting.granted.result(), "")

    async def publish(self, version: int, published_time: float, content: Any) -> None:
        """Takes the newest params for the actors, see Published; policy lag is measured against their version."""
        self._newest_version = max(self._newest_version, version)
        if self._published is None or version > self._published.version:
            self._published = Published(version, published_time, content)
            self._params_delay.published(version, published_time)

    async def stop(self) -> None:
        """The run ends: everybody who waits, and every later call, is told so."""
        self._end()

    async def report(self, after: int) -> ReplayReport:
        """A snapshot, with the finished episodes from number `after` on; forgets the ones before it."""
        return ReplayReport(stats=self._stats(), episodes=self._episodes.read(after))

    def _stats(self) -> ReplayStats:
        return ReplayStats(
            env_steps=self._env_steps,
            transitions=self._limiter.inserted,
            replay_size=self._buffer.size,
            sampled=self._limiter.sampled,
            chunks=self._chunks,
            duplicate_chunks=self._duplicates,
            evicted_priority_updates=self._buffer.evicted_updates,
            policy_lag_mean=self._lag_sum / self._chunks if self._chunks else float("nan"),
            policy_lag_max=self._lag_max,
            policy_lag_recent=float(np.mean(self._recent_lags)) if self._recent_lags else float("nan"),
            params_delay_median_seconds=self._params_delay.percentile(50),
            params_delay_p99_seconds=self._params_delay.percentile(99),
            seconds_since_insert=time.monotonic() - self._last_insert,
            waiting_for=self._why_somebody_waits(),
            actors_waiting=len(self._held),
            seconds=self._time_use.seconds,
            shards=(
                ShardStats(
                    self._limiter.inserted, self._buffer.size, self._buffer.capacity, sampled=self._limiter.sampled
                ),
            ),
            actors=dict(self._actors),
        )

    def _insert(self, chunk: Chunk) -> None:
        self._buffer.insert(chunk.rows)
        self._limiter.insert(len(chunk.rows))
        self._env_steps += chunk.env_steps
        before = self._actors.get(chunk.actor_id, ActorCounts(0, 0))
        self._actors[chunk.actor_id] = ActorCounts(
            env_steps=before.env_steps + chunk.env_steps,
            episodes=before.episodes + len(chunk.episodes.episode_return),
        )
        self._episodes.add(chunk, self._env_steps, self._newest_version)
        self._chunks += 1
        # A replaced actor, which asks the learner, may be faster than the publication of what it acted with.
        self._newest_version = max(self._newest_version, chunk.params_version)
        self._params_delay.acting(chunk.actor_id, chunk.params_held, chunk.params_held_since)
        lag = self._newest_version - chunk.params_version
        self._lag_sum += lag
        self._lag_max = max(self._lag_max, lag)
        self._recent_lags.append(lag)
        self._last_insert = time.monotonic()
        if self._max_env_steps is not None and self._env_steps >= self._max_env_steps:
            self._end()
        self._time_use.spent("inserting")
        self._serve()

    def _serve(self) -> None:
        """Grants what the limiter allows now, in the order of arrival, and releases acks."""
        while self._sampling and not self._stopping and self._limiter.grants(self._sampling[0].rows):
            waiting = self._sampling.popleft()
            self._limiter.sample(waiting.rows)
            waiting.granted.set_result(self._buffer.sample(waiting.rows, self._rng))
        self._time_use.spent("sampling")
        if not self._limiter.holds_acks():
            self._release_acks()

    def _end(self) -> None:
        self._stopping = True
        while self._sampling:
            self._sampling.popleft().granted.set_result(None)
        self._release_acks()

    def _release_acks(self) -> None:
        for released in self._held:
            released.set_result(None)
        self._held.clear()

    def _ack(self, params_held: int, held: str) -> AddReply:
        newer = self._published is not None and self._published.version > params_held
        return AddReply(
            env_steps=self._env_steps, held=held, stop=self._stopping, params=self._published if newer else None
        )

    def _sample_reply(self, rows: Rows | None, waiting_for: str) -> SampleReply:
        return SampleReply(rows=rows, waiting_for=waiting_for, env_steps=self._env_steps, stop=self._stopping)

    def _why_acks_are_held(self) -> str:
        return f"actors wait for the learner to take {self._limiter.surplus():,} more samples"

    def _why_samples_wait(self, rows: int) -> str:
        quiet = time.monotonic() - self._last_insert
        silence = f", no insert for {quiet:.0f} s" if quiet >= 2 else ""
        return f"the learner waits for {self._limiter.missing(rows):,} more transitions{silence}"

    def _why_somebody_waits(self) -> str:
        if self._sampling:
            return self._why_samples_wait(self._sampling[0].rows)
        return self._why_acks_are_held() if self._held else ""
