"""What coordinator and shards tell of themselves."""

from __future__ import annotations

from typing import NamedTuple

from replay_server.episode_log import EpisodesReply


class ShardStats(NamedTuple):
    """One ring of transitions. Shard 0 is the only one of a single replay server."""

    transitions: int  # inserted
    size: int  # alive
    capacity: int
    sampled: int
    duplicate_chunks: int
    evicted_priority_updates: int
    seconds: dict[str, float]  # by activity, see common/time_use.py


class ActorCounts(NamedTuple):
    """What was accepted from one actor, over all its incarnations."""

    env_steps: int
    episodes: int


class ReplayStats(NamedTuple):
    """What is counted over the whole, and what each shard tells of itself."""

    env_steps: int
    terminations: int  # episodes that were not cut
    transitions: int
    sampled: int
    chunks: int
    missing_chunks: int  # that have not come, though a later one of the same process has
    policy_lag_mean: float  # learner steps, over all chunks; NaN before the first
    policy_lag_max: int
    policy_lag_recent: float  # of the last 100 chunks
    params_delay_median_seconds: float  # from publication to the last actor that acts with them; NaN at first
    params_delay_p99_seconds: float
    seconds_since_insert: float
    waiting_for: str  # why somebody waits; "" when nobody does
    actors_waiting: int
    actors: dict[int, ActorCounts]  # by actor id, of those that shipped something
    shards: tuple[ShardStats, ...]  # in a coordinator's own report none: each shard is asked by itself

    @property
    def replay_size(self) -> int:
        """Items alive."""
        return sum(shard.size for shard in self.shards)

    @property
    def duplicate_chunks(self) -> int:
        """Chunks that came again."""
        return sum(shard.duplicate_chunks for shard in self.shards)

    @property
    def evicted_priority_updates(self) -> int:
        """|TD errors| of items that were gone."""
        return sum(shard.evicted_priority_updates for shard in self.shards)

    @property
    def seconds(self) -> dict[str, float]:
        """By activity, of the shards the sum."""
        activities = self.shards[0].seconds if self.shards else {}
        return {activity: sum(shard.seconds[activity] for shard in self.shards) for activity in activities}


class ReplayReport(NamedTuple):
    """Statistics and the episodes behind them, of one moment."""

    stats: ReplayStats
    episodes: EpisodesReply
