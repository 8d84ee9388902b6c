"""Coordinator: counts what all shards took, and keeps learner and actors in step. It holds no transitions.

In:   add(ChunkFacts)             of every chunk, from the shard with its rows; the ack is held while actors are ahead
      grant(rows)                 from the learner; waits while it is ahead. What is granted is drawn from the shards
      publish(...)                from the learner: the newest params, which every actor gets with its next ack
Out:  AddReply, Grant             both carry the count of environment steps, and `stop` when the run ends
      report(after)               statistics and finished episodes, to the driver

The authority for environment steps, transitions and episodes. Part of a single replay server; beside several shards
the driver runs it as an async Ray actor. One event loop, so whatever has no await in it is one step. Nobody polls: who
must wait holds a future. Every wait is answered within a few seconds, with the reason if nothing changed.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Any, NamedTuple

from common.config import ReplayConfig
from common.process import be_nice
from common.types import AddReply, ChunkFacts, Grant, Published
from replay_server.deduplication import SeenSequences
from replay_server.episode_log import EpisodeLog
from replay_server.params_delay import ParamsDelay
from replay_server.policy_lag import PolicyLag
from replay_server.rate_limiter import RateLimiter
from replay_server.sharding import shard_capacity
from replay_server.stats import ActorCounts, ReplayReport, ReplayStats

NICENESS = 5  # it yields to the learner, and the actors to it
REPLY_SECONDS = 5.0  # a waiting call is answered after this time at the latest


class _Asking(NamedTuple):
    rows: int
    granted: asyncio.Future[bool]


class Coordinator:
    """The limiter behind two waiting lines: the learner's requests, and acks held."""

    def __init__(self, config: ReplayConfig, rows_per_call: int, reply_seconds: float = REPLY_SECONDS) -> None:
        """`rows_per_call`: rows that the learner asks for at once, at most. `reply_seconds`: see REPLY_SECONDS."""
        assert config.tolerance_samples is not None
        be_nice(NICENESS)
        self._reply_seconds = reply_seconds
        self._max_env_steps = config.max_env_steps
        self._limiter = RateLimiter(
            config.samples_per_insert, config.learning_starts_transitions, config.tolerance_samples, rows_per_call
        )
        shards = config.replay_shards
        self._inserted = [0] * shards  # transitions, by shard
        self._capacities = [shard_capacity(config.capacity_transitions, shard, shards) for shard in range(shards)]
        self._seen = SeenSequences()
        self._episodes = EpisodeLog()
        self._asking: deque[_Asking] = deque()
        self._held: list[asyncio.Future[None]] = []
        self._stopping = False
        self._env_steps = self._terminations = 0
        self._actors: dict[int, ActorCounts] = {}
        self._published: Published | None = None
        self._policy_lag = PolicyLag()
        self._params_delay = ParamsDelay()
        self._last_insert = time.monotonic()

    def __repr__(self) -> str:
        return "replay-coordinator"

    async def add(self, facts: ChunkFacts) -> AddReply:
        """Counts a chunk once, however often it comes; returns when the actor may go on, or says why not yet.

        Its rows must be in the shard already, so that whatever is granted can be drawn.
        """
        if self._seen.first_time((facts.actor_id, facts.incarnation), facts.seq):
            self._count(facts)
        return await self.wait_for_ack(facts.params_held)

    async def wait_for_ack(self, params_held: int) -> AddReply:
        """Goes on waiting for an ack that was held, for an actor that holds params of this version."""
        if self._limiter.holds_acks() and not self._stopping:
            released: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._held.append(released)
            await asyncio.wait([released], timeout=self._reply_seconds)
            if not released.done():
                self._held.remove(released)
                return self._ack(params_held, self._why_acks_are_held())
        return self._ack(params_held, "")

    async def grant(self, rows: int) -> Grant:
        """Counts so many samples as soon as the limiter grants them, or says why not yet."""
        if self._stopping:
            return self._answer(granted=False, waiting_for="")
        asking = _Asking(rows, asyncio.get_running_loop().create_future())
        self._asking.append(asking)
        self._serve()
        if not asking.granted.done():
            await asyncio.wait([asking.granted], timeout=self._reply_seconds)
        if not asking.granted.done():
            self._asking.remove(asking)
            return self._answer(granted=False, waiting_for=self._why_the_learner_waits(rows))
        return self._answer(granted=asking.granted.result(), waiting_for="")

    async def publish(self, version: int, published_time: float, content: Any) -> None:
        """Takes the newest params for the actors, see Published; policy lag is measured against their version."""
        self._policy_lag.published(version)
        if self._published is None or version > self._published.version:
            self._published = Published(version, published_time, content)
            self._params_delay.published(version, published_time)

    async def stop(self) -> None:
        """The run ends: everybody who waits, and every later call, is told so."""
        self._end()

    async def report(self, after: int) -> ReplayReport:
        """A snapshot, with the finished episodes from number `after` on; forgets the ones before it."""
        stats = ReplayStats(
            env_steps=self._env_steps,
            terminations=self._terminations,
            transitions=self._limiter.inserted,
            sampled=self._limiter.sampled,
            chunks=self._policy_lag.chunks,
            missing_chunks=self._seen.missing,
            policy_lag_mean=self._policy_lag.mean,
            policy_lag_max=self._policy_lag.largest,
            policy_lag_recent=self._policy_lag.recent,
            params_delay_median_seconds=self._params_delay.percentile(50),
            params_delay_p99_seconds=self._params_delay.percentile(99),
            seconds_since_insert=time.monotonic() - self._last_insert,
            waiting_for=self._why_somebody_waits(),
            actors_waiting=len(self._held),
            actors=dict(self._actors),
            shards=(),
        )
        return ReplayReport(stats=stats, episodes=self._episodes.read(after))

    def _count(self, facts: ChunkFacts) -> None:
        self._inserted[facts.shard] += facts.rows
        self._limiter.insert(facts.rows)
        self._env_steps += facts.env_steps
        self._terminations += int(facts.episodes.terminated.sum())
        before = self._actors.get(facts.actor_id, ActorCounts(0, 0))
        self._actors[facts.actor_id] = ActorCounts(
            env_steps=before.env_steps + facts.env_steps,
            episodes=before.episodes + len(facts.episodes.episode_return),
        )
        self._episodes.add(facts, self._env_steps, self._policy_lag.newest_version)
        self._policy_lag.inserted(facts.params_version)
        self._params_delay.acting(facts.actor_id, facts.params_held, facts.params_held_since)
        self._last_insert = time.monotonic()
        if self._max_env_steps is not None and self._env_steps >= self._max_env_steps:
            self._end()
        self._serve()

    def _serve(self) -> None:
        """Grants what the limiter allows now, in the order of arrival, and releases acks."""
        while self._asking and self._limiter.grants(self._asking[0].rows):
            asking = self._asking.popleft()
            self._limiter.sample(asking.rows)
            asking.granted.set_result(True)
        if not self._limiter.holds_acks():
            self._release_acks()

    def _end(self) -> None:
        self._stopping = True
        while self._asking:
            self._asking.popleft().granted.set_result(False)
        self._release_acks()

    def _release_acks(self) -> None:
        for released in self._held:
            released.set_result(None)
        self._held.clear()

    def _ack(self, params_held: int, held: str) -> AddReply:
        newer = self._published is not None and self._published.version > params_held
        return AddReply(
            env_steps=self._env_steps,
            terminations=self._terminations,
            held=held,
            stop=self._stopping,
            params=self._published if newer else None,
        )

    def _answer(self, granted: bool, waiting_for: str) -> Grant:
        sizes = tuple(map(min, self._inserted, self._capacities))
        return Grant(granted, waiting_for, env_steps=self._env_steps, stop=self._stopping, sizes=sizes)

    def _why_acks_are_held(self) -> str:
        return f"actors wait for the learner to take {self._limiter.surplus():,} more samples"

    def _why_the_learner_waits(self, rows: int) -> str:
        quiet = time.monotonic() - self._last_insert
        silence = f", no insert for {quiet:.0f} s" if quiet >= 2 else ""
        return f"the learner waits for {self._limiter.missing(rows):,} more transitions{silence}"

    def _why_somebody_waits(self) -> str:
        if self._asking:
            return self._why_the_learner_waits(self._asking[0].rows)
        return self._why_acks_are_held() if self._held else ""
