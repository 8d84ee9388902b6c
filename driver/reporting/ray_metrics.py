"""The run as `ray.util.metrics`, for Prometheus and for Ray's dashboard: what is exported, and how.

The driver exports all of it, once a second, from what the roles last told it. So every series of a run begins and ends
with the run, comes from one process, and goes on while a role is silent.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NamedTuple

from ray.util.metrics import Counter, Gauge

from common.config import Config
from common.time_use import column
from driver.reporting.progress import ActorProgress, Progress
from replay_server.stats import ShardStats

_TAGS = ("role", "actor_id", "run")


class Metric(NamedTuple):
    """One that is exported; its unit is in its name."""

    name: str
    kind: Literal["counter", "gauge"]
    role: str  # whose it is: the values of the tag `role`; K counts the shards from 0
    description: str

    @property
    def exported_name(self) -> str:
        """As Prometheus knows it."""
        return f"ray_{self.name}" + ("_total" if self.kind == "counter" else "")


METRICS = (
    Metric("dqn_env_steps", "counter", "actor", "Environment steps that the replay server accepted"),
    Metric("dqn_episodes", "counter", "actor", "Finished training episodes that the replay server accepted"),
    Metric("dqn_transitions", "counter", "replay-K", "Transitions inserted"),
    Metric("dqn_samples", "counter", "replay-K", "Transitions sampled"),
    Metric("dqn_learner_steps", "counter", "learner", "Gradient updates"),
    Metric("dqn_wait_seconds", "counter", "learner, actor", "Asking for rows and waiting for them; waiting for acks"),
    Metric("dqn_samples_per_insert_ratio", "gauge", "learner", "Samples trained on per transition inserted"),
    Metric("dqn_training_return", "gauge", "replay", "Mean return of the last 100 training episodes"),
    Metric("dqn_evaluation_return", "gauge", "evaluator", "Mean return of the last look, greedy"),
    Metric("dqn_epsilon_ratio", "gauge", "actor", "Share of random actions, mean over the actor's environments"),
    Metric("dqn_policy_lag_learner_steps", "gauge", "replay", "Policy lag, mean of the last 100 chunks"),
    Metric(
        "dqn_params_age_learner_steps", "gauge", "actor", "From the params last told to be acted with to the newest"
    ),
    Metric("dqn_params_age_seconds", "gauge", "actor", "Since the actor took the params that it acts with"),
    Metric("dqn_params_delay_seconds", "gauge", "learner", "From publication to the last actor, median"),
    Metric("dqn_target_sync_learner_steps", "gauge", "learner", "The setting: from one publication to the next"),
    Metric("dqn_replay_fill_ratio", "gauge", "replay-K", "Share of the capacity in use"),
    Metric("dqn_replay_size_transitions", "gauge", "replay-K", "Transitions in the ring"),
    # No counter: one cannot be set to 0, so its first value would be the first duplicate, and no rule could see a rise.
    Metric("dqn_duplicate_chunks", "gauge", "replay", "Chunks that came more than once, since the run began"),
    Metric("dqn_actors_alive", "gauge", "driver", "Actors that play and answer"),
    Metric("dqn_actors_wanted", "gauge", "driver", "The setting; it is there as long as the run is"),
    # No counter, for the same reason: its first value would be the first restart.
    Metric("dqn_actor_restarts", "gauge", "actor", "Processes replaced, since the run began"),
    Metric("dqn_learner_loss", "gauge", "learner", "Loss of the last minibatch"),
    Metric("dqn_q_value_mean", "gauge", "learner", "Mean greedy Q-value at the last sync"),
    Metric("dqn_q_value_spread", "gauge", "learner", "Standard deviation of greedy Q-values over observations"),
    Metric("dqn_silent_units_ratio", "gauge", "learner", "Units that are 0 for all observations, in the worst layer"),
    Metric("dqn_td_error_abs_mean", "gauge", "learner", "Mean |TD error| of the last reply"),
    Metric("dqn_learning_rate", "gauge", "learner", "Adam's step size"),
    Metric("dqn_learner_waiting_ratio", "gauge", "learner", "Share of its time in which the learner waits for rows"),
)
_KINDS = {metric.name: metric.kind for metric in METRICS}


class Sample(NamedTuple):
    """One value of one moment. Of a counter: its count since the run began. None: nothing to measure yet."""

    name: str
    role: str
    value: float | None
    actor_id: str = ""


def samples(
    config: Config, progress: Progress | None, actors: Sequence[ActorProgress], shards: Sequence[ShardStats], alive: int
) -> list[Sample]:
    """A moment of a run; `progress` is None and `shards` are empty before the replay server has told anything."""
    found = [
        Sample("dqn_actors_alive", "driver", alive),
        Sample("dqn_actors_wanted", "driver", config.actor.actors),
        Sample("dqn_target_sync_learner_steps", "learner", config.learner.target_sync_learner_steps),
    ]
    for actor_id, actor in enumerate(actors):
        found += _of_actor(str(actor_id), actor)
    for index, shard in enumerate(shards):
        found += _of_shard(f"replay-{index}", shard)
    return found + (_of_progress(progress) if progress else [])


def _of_actor(actor_id: str, actor: ActorProgress) -> list[Sample]:
    return [
        Sample("dqn_env_steps", "actor", actor.env_steps, actor_id),
        Sample("dqn_episodes", "actor", actor.episodes, actor_id),
        Sample("dqn_wait_seconds", "actor", actor.waiting_seconds, actor_id),
        Sample("dqn_actor_restarts", "actor", actor.restarts, actor_id),
        Sample("dqn_epsilon_ratio", "actor", actor.epsilon, actor_id),
        Sample("dqn_params_age_learner_steps", "actor", actor.params_age_learner_steps, actor_id),
        Sample("dqn_params_age_seconds", "actor", actor.params_age_seconds, actor_id),
    ]


def _of_shard(role: str, shard: ShardStats) -> list[Sample]:
    return [
        Sample("dqn_transitions", role, shard.transitions),
        Sample("dqn_samples", role, shard.sampled),
        Sample("dqn_replay_size_transitions", role, shard.size),
        Sample("dqn_replay_fill_ratio", role, shard.size / shard.capacity),
    ]


def _of_progress(progress: Progress) -> list[Sample]:
    return [
        Sample("dqn_learner_steps", "learner", progress.learner_steps),
        Sample("dqn_wait_seconds", "learner", progress.time_use[column("learner", "sampling")]),
        Sample("dqn_learner_waiting_ratio", "learner", progress.learner_waiting_fraction),
        Sample("dqn_samples_per_insert_ratio", "learner", progress.samples_per_insert),
        Sample("dqn_params_delay_seconds", "learner", progress.params_delay_median_seconds),
        Sample("dqn_learner_loss", "learner", progress.loss),
        Sample("dqn_q_value_mean", "learner", progress.mean_q),
        Sample("dqn_q_value_spread", "learner", progress.q_spread),
        Sample("dqn_silent_units_ratio", "learner", progress.silent_units),
        Sample("dqn_td_error_abs_mean", "learner", progress.mean_abs_td_error),
        Sample("dqn_learning_rate", "learner", progress.learning_rate),
        Sample("dqn_training_return", "replay", progress.recent_return),
        Sample("dqn_policy_lag_learner_steps", "replay", progress.policy_lag_recent),
        Sample("dqn_duplicate_chunks", "replay", progress.duplicate_chunks),
        Sample("dqn_evaluation_return", "evaluator", progress.evaluation_return),
    ]


class RayMetrics:
    """Exports the samples of one run. Ray's metrics live as long as the process; the tag `run` tells its runs apart."""

    def __init__(self, run: str, counter: Callable[..., Any] = Counter, gauge: Callable[..., Any] = Gauge) -> None:
        """`counter` and `gauge` make a metric from `name`, `description` and `tag_keys`."""
        self._run = run
        self._metrics = {
            metric.name: (counter if metric.kind == "counter" else gauge)(
                metric.name, description=metric.description, tag_keys=_TAGS
            )
            for metric in METRICS
        }
        self._counted: dict[Sample, float] = defaultdict(float)  # by the sample without its value

    def export(self, samples: Iterable[Sample]) -> None:
        """Sets every gauge, also an unchanged one, because Ray drops it else; increments counters that have grown."""
        for sample in samples:
            if sample.value is None:
                continue
            tags = {"role": sample.role, "actor_id": sample.actor_id, "run": self._run}
            if _KINDS[sample.name] == "gauge":
                self._metrics[sample.name].set(float(sample.value), tags=tags)
                continue
            series = sample._replace(value=None)
            grown = sample.value - self._counted[series]
            if grown > 0:  # Ray takes no 0
                self._metrics[sample.name].inc(float(grown), tags=tags)
                self._counted[series] = sample.value
