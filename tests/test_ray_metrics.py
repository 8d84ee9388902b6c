"""What the driver exports, into metrics that refuse what Ray's refuse; and the actors' answers behind it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from actors.actor import ActorStats
from actors.policy import final_epsilons, ladder_epsilons
from common.config import ActorConfig, Config, LearnerConfig, ReplayConfig
from common.time_use import ACTIVITIES, columns
from driver.reporting.actor_answers import ActorAnswers
from driver.reporting.display import Display
from driver.reporting.observer import Observer
from driver.reporting.progress import ActorProgress, Counts, Progress, observe
from driver.reporting.ray_metrics import METRICS, RayMetrics, Sample, samples
from driver.reporting.run_folder import RunFolder
from learner.learner_stats import LearnerStats
from replay_server.episode_log import EpisodesReply
from replay_server.stats import ActorCounts, ReplayReport, ReplayStats, ShardStats

CONFIG = Config(actor=ActorConfig(actors=2), learner=LearnerConfig(target_sync_learner_steps=100))
Series = tuple[str, str, str, str]  # name, role, actor_id, run


class Sink:
    """Stands for Ray's metrics of one process: values by series, as they would arrive."""

    def __init__(self) -> None:
        self.values: dict[Series, float] = {}
        self.set_now: list[Series] = []
        self.kinds: dict[str, str] = {}

    def counter(self, name: str, description: str, tag_keys: tuple[str, ...]) -> Any:
        return self._make("counter", name, description, tag_keys)

    def gauge(self, name: str, description: str, tag_keys: tuple[str, ...]) -> Any:
        return self._make("gauge", name, description, tag_keys)

    def of(self, run: str) -> dict[tuple[str, str, str], float]:
        """The values of one run by name, role and actor id."""
        return {series[:3]: value for series, value in self.values.items() if series[3] == run}

    def _make(self, kind: str, name: str, description: str, tag_keys: tuple[str, ...]) -> Any:
        assert description
        assert self.kinds.setdefault(name, kind) == kind, f"{name} is both"
        return FakeMetric(self, kind, name, tag_keys)


class FakeMetric:
    def __init__(self, sink: Sink, kind: str, name: str, tag_keys: tuple[str, ...]) -> None:
        self._sink, self._kind, self._name, self._tag_keys = sink, kind, name, tag_keys

    def inc(self, value: float, tags: dict[str, str]) -> None:
        assert self._kind == "counter"
        if value <= 0:
            raise ValueError(f"value must be >0, got {value}")
        series = self._series(value, tags)
        self._sink.values[series] = self._sink.values.get(series, 0.0) + value

    def set(self, value: float, tags: dict[str, str]) -> None:
        assert self._kind == "gauge"
        series = self._series(value, tags)
        self._sink.values[series] = value
        self._sink.set_now.append(series)

    def _series(self, value: float, tags: dict[str, str]) -> Series:
        assert type(value) is float
        assert tuple(tags) == self._tag_keys
        assert all(isinstance(tag, str) for tag in tags.values())
        return (self._name, tags["role"], tags["actor_id"], tags["run"])


def exporter(sink: Sink, run: str = "a") -> RayMetrics:
    return RayMetrics(run, sink.counter, sink.gauge)


def shard(transitions: int, size: int, capacity: int, sampled: int, duplicate_chunks: int = 0) -> ShardStats:
    return ShardStats(
        transitions=transitions, size=size, capacity=capacity, sampled=sampled, duplicate_chunks=duplicate_chunks,
        evicted_priority_updates=0, seconds=dict.fromkeys(ACTIVITIES["replay"], 0.0),
    )  # fmt: skip


SHARD = shard(transitions=500, size=500, capacity=1000, sampled=900, duplicate_chunks=2)


def replay_stats(**changes: Any) -> ReplayStats:
    """500 transitions of two actors, after 600 environment steps, in a ring for 1,000."""
    stats = ReplayStats(
        env_steps=600, terminations=5, transitions=500, sampled=900, chunks=10, missing_chunks=0, policy_lag_mean=3.0,
        policy_lag_max=9, policy_lag_recent=4.0, params_delay_median_seconds=0.25, params_delay_p99_seconds=0.5,
        seconds_since_insert=0.0, waiting_for="", actors_waiting=0,
        actors={0: ActorCounts(env_steps=400, episodes=7), 1: ActorCounts(env_steps=200, episodes=0)}, shards=(SHARD,),
    )  # fmt: skip
    return stats._replace(**changes)


def learner_stats(**changes: Any) -> LearnerStats:
    stats = LearnerStats(
        learner_steps=1250, target_syncs=12, newest_version=1200, learning_rate=1e-3, loss=0.5, mean_q=8.0,
        q_spread=2.5, silent_units=0.25, trouble="", mean_abs_td_error=0.125,
        seconds={"sampling": 2.0, "updating": 5.0, "broadcasting": 1.0}, first_step_time=None, torch_threads=1,
    )  # fmt: skip
    return stats._replace(**changes)


def actor_stats(actor_id: int, version: int, age: float | None, waiting_seconds: float = 0.0) -> ActorStats:
    seconds = dict.fromkeys(ACTIVITIES["actors"], 0.0) | {"waiting": waiting_seconds}
    return ActorStats(
        actor_id=actor_id, params_version=version, params_age_seconds=age, chunks=1, waiting=False, seconds=seconds,
        heard=(),
    )  # fmt: skip


def progress(**changes: Any) -> Progress:
    """Everything is there to measure."""
    time_use = dict.fromkeys(columns(), 0.0) | {"learner_sampling_seconds": 2.0, "learner_updating_seconds": 6.0}
    counts = Counts(
        seconds=10.0, episodes=7, recent_return=33.0, actors_alive=2, actor_restarts=0, waiting_for="",
        time_use=time_use,
    )  # fmt: skip
    found = observe(CONFIG, counts, replay_stats(transitions=2000), learner_stats(), None, None)
    return found._replace(**({"evaluation_return": 99.0} | changes))


ACTOR = ActorProgress(
    env_steps=400, episodes=7, waiting_seconds=1.5, restarts=0, epsilon=0.5,
    params_age_learner_steps=100, params_age_seconds=0.25,
)  # fmt: skip


def test_a_moment_has_every_metric_of_the_table_and_no_other() -> None:
    moment = samples(CONFIG, progress(), [ACTOR], [SHARD], alive=2)
    assert {sample.name for sample in moment} == {metric.name for metric in METRICS}
    assert len({metric.name for metric in METRICS}) == len(METRICS)


def test_every_sample_has_a_role_that_the_table_names_for_it() -> None:
    roles = {metric.name: metric.role.split(", ") for metric in METRICS}
    for sample in samples(CONFIG, progress(), [ACTOR, ACTOR], [SHARD, SHARD], alive=2):
        assert ("replay-K" if sample.role.startswith("replay-") else sample.role) in roles[sample.name]
        assert (sample.role == "actor") == (sample.actor_id != "")


def test_what_cannot_be_measured_yet_is_not_exported() -> None:
    sink = Sink()
    exporter(sink).export(samples(CONFIG, None, [ACTOR._replace(params_age_seconds=None)], [], alive=0))
    names = {name for name, *_ in sink.values}
    assert {"dqn_actors_wanted", "dqn_actor_restarts"} <= names
    assert not {"dqn_params_age_seconds", "dqn_learner_steps", "dqn_learner_loss", "dqn_replay_fill_ratio"} & names
    exporter(sink).export(samples(CONFIG, progress(loss=None), [ACTOR], [], alive=0))
    assert "dqn_learner_loss" not in {name for name, *_ in sink.values}


def test_values_go_under_role_and_actor_id() -> None:
    sink = Sink()
    other = ACTOR._replace(env_steps=200, restarts=3)
    small = shard(transitions=50, size=40, capacity=400, sampled=70)
    exporter(sink).export(samples(CONFIG, progress(), [ACTOR, other], [SHARD, small], alive=1))
    values = sink.of("a")
    assert [values["dqn_env_steps", "actor", actor_id] for actor_id in ("0", "1")] == [400, 200]
    assert [values["dqn_actor_restarts", "actor", actor_id] for actor_id in ("0", "1")] == [0, 3]
    assert [values["dqn_transitions", role, ""] for role in ("replay-0", "replay-1")] == [500, 50]
    assert [values["dqn_replay_fill_ratio", role, ""] for role in ("replay-0", "replay-1")] == [0.5, 0.1]
    assert [values["dqn_samples", role, ""] for role in ("replay-0", "replay-1")] == [900, 70]
    assert (values["dqn_actors_alive", "driver", ""], values["dqn_actors_wanted", "driver", ""]) == (1, 2)
    assert values["dqn_target_sync_learner_steps", "learner", ""] == 100
    assert values["dqn_learner_waiting_ratio", "learner", ""] == 0.25
    assert values["dqn_wait_seconds", "learner", ""] == 2.0
    assert values["dqn_policy_lag_learner_steps", "replay", ""] == 4.0
    assert (values["dqn_q_value_mean", "learner", ""], values["dqn_q_value_spread", "learner", ""]) == (8.0, 2.5)
    assert values["dqn_silent_units_ratio", "learner", ""] == 0.25


def test_a_counter_grows_with_its_count_and_rests_with_it() -> None:
    sink = Sink()
    metrics = exporter(sink)
    seen = []
    for count in (0, 5, 5, 9):
        metrics.export([Sample("dqn_learner_steps", "learner", count)])
        seen.append(dict(sink.values).get(("dqn_learner_steps", "learner", "", "a")))
    assert seen == [None, 5, 5, 9]


def test_a_counter_of_one_actor_leaves_that_of_another_alone() -> None:
    sink = Sink()
    metrics = exporter(sink)
    for first, second in ((5, 0), (5, 3), (6, 4)):
        metrics.export([Sample("dqn_episodes", "actor", first, "0"), Sample("dqn_episodes", "actor", second, "1")])
    assert sink.of("a") == {("dqn_episodes", "actor", "0"): 6, ("dqn_episodes", "actor", "1"): 4}


def test_gauges_are_set_at_every_moment_also_when_unchanged() -> None:
    sink = Sink()
    metrics = exporter(sink)
    moment = samples(CONFIG, progress(), [ACTOR], [SHARD], alive=2)
    metrics.export(moment)
    first, sink.set_now = sink.set_now, []
    metrics.export(moment)
    assert sink.set_now == first
    assert len(first) == sum(sample.name in sink.kinds and sink.kinds[sample.name] == "gauge" for sample in moment)


def test_two_runs_of_one_process_count_each_from_0() -> None:
    sink = Sink()
    exporter(sink, "a").export([Sample("dqn_learner_steps", "learner", 500)])
    exporter(sink, "b").export([Sample("dqn_learner_steps", "learner", 20)])
    key = ("dqn_learner_steps", "learner", "")
    assert (sink.of("a")[key], sink.of("b")[key]) == (500, 20)


def test_waiting_time_goes_on_from_where_a_replaced_process_left_it() -> None:
    answers = ActorAnswers(lambda: 0.0)
    seen = []
    for process, waited in (("actor-0, 0", 2.0), ("actor-0, 0", 5.0), ("actor-0, 1", 0.5), ("actor-0, 1", 1.0)):
        answers.take(process, actor_stats(0, version=0, age=0.0, waiting_seconds=waited))
        seen.append(answers.waiting_seconds(0))
    assert seen == [2.0, 5.0, 5.5, 6.0]
    assert answers.waiting_seconds(1) == 0.0
    answers.take("actor-1, 0", actor_stats(1, version=0, age=0.0, waiting_seconds=4.0))
    assert answers.spent_seconds()["waiting"] == 10.0


def test_the_age_of_params_is_the_actors_own_while_it_answers_and_grows_while_it_does_not() -> None:
    now = [0.0]
    answers = ActorAnswers(lambda: now[0])
    assert answers.params_age_seconds(0) is None
    answers.take("actor-0, 0", actor_stats(0, version=-1, age=None))
    assert (answers.params_age_seconds(0), answers.params_age_learner_steps(0, 100)) == (None, None)
    answers.take("actor-0, 0", actor_stats(0, version=100, age=0.25))
    seen = []
    for now[0], newest in ((1.0, 100), (2.0, 300), (10.0, 900), (60.0, 900)):
        seen.append((answers.params_age_seconds(0), answers.params_age_learner_steps(0, newest)))
    assert seen == [(0.25, 0), (0.25, 200), (10.25, 800), (60.25, 800)]
    answers.take("actor-0, 0", actor_stats(0, version=1000, age=0.5))
    assert (answers.params_age_seconds(0), answers.params_age_learner_steps(0, newest_version=900)) == (0.5, 0)


def observer(folder: Path, sink: Sink, config: Config = CONFIG) -> Observer:
    display = Display(config, solved_return=None, console=Console(file=io.StringIO()))
    return Observer(config, RunFolder(folder), display, exporter(sink), seconds=lambda: 10.0)


def report(stats: ReplayStats) -> ReplayReport:
    return ReplayReport(stats, EpisodesReply(rows=[], next=7, recent_returns=np.array([1.0, 2.0])))


def test_an_observer_exports_what_the_roles_told_it(tmp_path: Path) -> None:
    sink = Sink()
    seen = observer(tmp_path, sink)
    seen.take_learner(learner_stats())
    seen.take_actor("actor-1, 0", actor_stats(1, version=900, age=0.75, waiting_seconds=3.0))
    seen.take_replay(report(replay_stats()), alive=2, restarts=1)
    seen.export(alive=2, restarts=[0, 1])
    values = sink.of("a")
    assert values["dqn_env_steps", "actor", "0"] == 400
    assert values["dqn_episodes", "actor", "0"] == 7
    assert ("dqn_episodes", "actor", "1") not in values  # none yet
    assert values["dqn_wait_seconds", "actor", "1"] == 3.0
    assert values["dqn_params_age_learner_steps", "actor", "1"] == 300
    assert values["dqn_params_age_seconds", "actor", "1"] == 0.75
    assert ("dqn_params_age_seconds", "actor", "0") not in values  # it has not answered yet
    assert values["dqn_actor_restarts", "actor", "1"] == 1
    assert values["dqn_learner_steps", "learner", ""] == 1250
    assert values["dqn_training_return", "replay", ""] == 1.5
    assert ("dqn_evaluation_return", "evaluator", "") not in values


def test_an_observer_exports_also_before_anybody_answered(tmp_path: Path) -> None:
    sink = Sink()
    observer(tmp_path, sink).export(alive=0, restarts=[0, 0])
    values = sink.of("a")
    assert values["dqn_actors_wanted", "driver", ""] == 2
    assert values["dqn_epsilon_ratio", "actor", "1"] == 1.0
    assert ("dqn_learner_steps", "learner", "") not in values


def test_shards_are_exported_once_it_is_certain_which_is_which(tmp_path: Path) -> None:
    sink = Sink()
    seen = observer(tmp_path, sink, Config(actor=CONFIG.actor, replay=ReplayConfig(replay_shards=2)))
    seen.take_shard(1, shard(transitions=70, size=70, capacity=500, sampled=0))
    seen.take_replay(report(replay_stats(shards=())), alive=2, restarts=0)
    seen.export(alive=2, restarts=[0, 0])
    assert not [key for key in sink.of("a") if key[1].startswith("replay-")]
    seen.take_shard(0, shard(transitions=60, size=60, capacity=500, sampled=0))
    seen.take_replay(report(replay_stats(shards=())), alive=2, restarts=0)
    seen.export(alive=2, restarts=[0, 0])
    values = sink.of("a")
    assert [values["dqn_transitions", role, ""] for role in ("replay-0", "replay-1")] == [60, 70]


@pytest.mark.parametrize("schedule", ["exponential", "ladder"])
def test_epsilon_is_that_of_each_actor_at_the_global_count(tmp_path: Path, schedule: str) -> None:
    actor = ActorConfig(actors=2, envs_per_actor=3, epsilon_schedule=schedule, epsilon_decay_env_steps=600)  # type: ignore[arg-type]
    config = Config(actor=actor, replay=ReplayConfig())
    sink = Sink()
    seen = observer(tmp_path, sink, config)
    seen.take_replay(report(replay_stats(env_steps=600, terminations=10)), alive=2, restarts=0)
    seen.export(alive=2, restarts=[0, 0])
    for actor_id in range(2):
        end = float(final_epsilons(actor, actor_id).mean())
        exponential = end + (actor.epsilon_start - end) / np.e
        expected = exponential if schedule == "exponential" else float(ladder_epsilons(actor, actor_id).mean())
        assert sink.of("a")["dqn_epsilon_ratio", "actor", str(actor_id)] == pytest.approx(expected)
