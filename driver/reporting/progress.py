"""The state of a run once a second: what the display shows, the metrics file keeps and Ray's metrics export."""

from __future__ import annotations

import math
from typing import NamedTuple

from actors.policy import exploration_steps, mean_epsilon
from common.config import Config
from common.time_use import ACTIVITIES, column
from common.types import Look
from learner.learner_stats import LearnerStats
from replay_server.stats import ReplayStats


class Progress(NamedTuple):
    """One moment of a run. None: nothing to measure yet."""

    seconds: float  # since the process started
    env_steps: int
    transitions: int
    learner_steps: int
    episodes: int
    env_steps_per_second: float
    learner_steps_per_second: float
    samples_per_insert: float | None
    recent_return: float | None  # mean of the last 100 episodes
    evaluation_return: float | None  # mean of the last look
    epsilon: float  # mean over all environments
    loss: float | None
    mean_q: float | None
    q_spread: float | None  # of greedy Q-values over observations
    silent_units: float | None  # share of the worst hidden layer's
    mean_abs_td_error: float | None
    learning_rate: float
    target_syncs: int
    learner_waiting_fraction: float | None  # of its time since the last moment, for rows; None while it still waits
    policy_lag_mean: float | None  # learner steps, over all chunks
    policy_lag_recent: float | None  # of the last 100 chunks
    policy_lag_max: int
    params_delay_median_seconds: float | None  # from publication to the last actor that acts with them
    params_delay_p99_seconds: float | None
    replay_size: int
    replay_fill: float  # share of the capacity
    chunks: int
    duplicate_chunks: int
    missing_chunks: int
    actors_alive: int  # that play and answer
    actor_restarts: int
    waiting_for: str
    time_use: dict[str, float]  # seconds by column, see common/time_use.py


class ActorProgress(NamedTuple):
    """One moment of one actor. None: nothing to measure yet."""

    env_steps: int  # accepted by the replay server, of all processes that were this actor; so the next two
    episodes: int
    waiting_seconds: float  # for acks
    restarts: int
    epsilon: float  # mean over its environments
    params_age_learner_steps: int | None  # from the version that it last told to the newest published
    params_age_seconds: float | None  # since it took them


class Counts(NamedTuple):
    """What the driver itself counts."""

    seconds: float
    episodes: int
    recent_return: float | None
    actors_alive: int
    actor_restarts: int
    waiting_for: str
    time_use: dict[str, float]


def samples_per_insert(config: Config, learner_steps: int, transitions: int) -> float | None:
    """Samples trained on / (transitions inserted - learning starts); None before learning can start."""
    inserted = transitions - config.replay.learning_starts_transitions
    return learner_steps * config.learner.batch_size / inserted if inserted > 0 else None


def observe(
    config: Config,
    counts: Counts,
    replay: ReplayStats,
    learner: LearnerStats | None,
    look: Look | None,
    previous: Progress | None,
) -> Progress:
    """Puts the roles' own statistics together."""
    learner_steps = learner.learner_steps if learner else 0
    elapsed = counts.seconds - previous.seconds if previous else 0.0

    def rate(now: int, before: int) -> float:
        return (now - before) / elapsed if elapsed > 0 else 0.0

    return Progress(
        seconds=counts.seconds,
        env_steps=replay.env_steps,
        transitions=replay.transitions,
        learner_steps=learner_steps,
        episodes=counts.episodes,
        env_steps_per_second=rate(replay.env_steps, previous.env_steps if previous else 0),
        learner_steps_per_second=rate(learner_steps, previous.learner_steps if previous else 0),
        samples_per_insert=samples_per_insert(config, learner_steps, replay.transitions),
        recent_return=counts.recent_return,
        evaluation_return=look.mean if look else None,
        epsilon=mean_epsilon(config.actor, exploration_steps(config.actor, replay.env_steps, replay.terminations)),
        loss=finite(learner.loss) if learner else None,
        mean_q=finite(learner.mean_q) if learner else None,
        q_spread=finite(learner.q_spread) if learner else None,
        silent_units=finite(learner.silent_units) if learner else None,
        mean_abs_td_error=finite(learner.mean_abs_td_error) if learner else None,
        learning_rate=learner.learning_rate if learner else config.learner.learning_rate,
        target_syncs=learner.target_syncs if learner else 0,
        learner_waiting_fraction=_learner_waiting_fraction(counts, previous),
        policy_lag_mean=finite(replay.policy_lag_mean),
        policy_lag_recent=finite(replay.policy_lag_recent),
        policy_lag_max=replay.policy_lag_max,
        params_delay_median_seconds=finite(replay.params_delay_median_seconds),
        params_delay_p99_seconds=finite(replay.params_delay_p99_seconds),
        replay_size=replay.replay_size,
        replay_fill=replay.replay_size / config.replay.capacity_transitions,
        chunks=replay.chunks,
        duplicate_chunks=replay.duplicate_chunks,
        missing_chunks=replay.missing_chunks,
        actors_alive=counts.actors_alive,
        actor_restarts=counts.actor_restarts,
        waiting_for=counts.waiting_for,
        time_use=counts.time_use,
    )


def _learner_waiting_fraction(now: Counts, before: Progress | None) -> float | None:
    """Of the learner's time since `before`; None where it did nothing."""
    activities = ACTIVITIES["learner"]
    spent = {
        activity: now.time_use[column("learner", activity)]
        - (before.time_use[column("learner", activity)] if before else 0.0)
        for activity in activities
    }
    total = sum(spent.values())
    return spent["sampling"] / total if total > 0 else None


def finite(value: float) -> float | None:
    """NaN and infinity become None: files and displays say "nothing yet"."""
    return value if math.isfinite(value) else None
