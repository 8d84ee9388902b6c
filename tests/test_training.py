"""Whole runs inside one Ray session: the roles, the driver and the run folder together."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import ray
import torch
from ray.exceptions import RayError
from run_folders import write_constant_network

from common.config import (
    ActorConfig,
    Config,
    EvaluatorConfig,
    LearnerConfig,
    NetworkConfig,
    PlacementConfig,
    ReplayConfig,
    RunConfig,
    rows_per_call,
)
from common.environment import probe
from driver.cluster.placement import Placement
from driver.planning import Plan, make_plan
from driver.reporting.display import Display
from driver.signals import StopSignals
from driver.supervision.topology import Topology
from driver.training import run_once
from launch import build_topology as build_anywhere


def build_topology(plan: Plan, namespace: str) -> Topology:
    """On the one machine of the tests."""
    return build_anywhere(plan, namespace, Placement(plan.config.placement, core=None))


pytestmark = pytest.mark.usefixtures("ray_session")
ENOUGH_CHUNKS = 5  # that some episodes are in them


def config(env: str, **replay: Any) -> Config:
    """Two small actors, a small network, no wish to solve anything."""
    return Config(
        run=RunConfig(env=env, max_seconds=300),
        actor=ActorConfig(actors=2, envs_per_actor=2, epsilon_schedule="exponential", chunk_rows=32),
        network=NetworkConfig(hidden=(32,)),
        learner=LearnerConfig(batch_size=32, target_sync_learner_steps=30, params_average=0.9),
        replay=ReplayConfig(**{"learning_starts_transitions": 100, "max_env_steps": 2000} | replay),
        evaluator=EvaluatorConfig(stop_when_solved=False),
    )


def train(
    config: Config,
    path: Path,
    build: Any = build_topology,
    signals: StopSignals | None = None,
) -> dict[str, Any]:
    """One run in an empty folder; its summary."""
    path.mkdir(exist_ok=True)
    plan = make_plan(config, probe(config.run.env, config.run.env_args), embedded=True)
    began = time.monotonic()
    display = Display(plan.config, plan.solved_return)
    return run_once(plan, path, display, signals or StopSignals(), build, lambda: time.monotonic() - began)


Watch = Callable[[dict[int, Any]], bool]  # looks at the actors there are, by id; whether it has seen enough


def build_and_watch(watch: Watch) -> Callable[[Plan, str], Topology]:
    """Has a thread look at the actors, until it has seen enough."""

    def build(plan: Plan, namespace: str) -> Topology:
        topology = build_topology(plan, namespace)
        created: dict[int, Any] = {}

        def create(actor_id: int) -> Any:
            created[actor_id] = topology.create_actor(actor_id)
            return created[actor_id]

        def look_again_and_again() -> None:
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline and not watch(dict(created)):
                time.sleep(0.1)  # between two looks at other processes

        threading.Thread(target=look_again_and_again, daemon=True).start()
        return topology._replace(create_actor=create)

    return build


def process_and_chunks(actor: Any) -> tuple[int, int]:
    """Process id, and chunks that it has shipped; zeros while there is none."""
    try:
        ask = actor.__ray_call__.options(concurrency_group="control")
        return ray.get(ask.remote(lambda role: (os.getpid(), role.stats().chunks)), timeout=60)
    except RayError:
        return 0, 0


def kill(actor_id: int, signals: StopSignals | None = None) -> Watch:
    """The process of this actor after a while; Ray starts another. With `signals` stops the run once that plays."""
    killed = 0

    def watch(actors: dict[int, Any]) -> bool:
        nonlocal killed
        process, chunks = process_and_chunks(actors[actor_id]) if actor_id in actors else (0, 0)
        if not killed and chunks > ENOUGH_CHUNKS:  # all but one of them arrived
            killed = process
            ray.kill(actors[actor_id], no_restart=False)
            return signals is None
        if killed and process != killed and chunks > ENOUGH_CHUNKS:
            assert signals is not None
            signals.received = signal.SIGINT
            return True
        return False

    return watch


def stop_once_all_play(actors: int, signals: StopSignals) -> Watch:
    """Each has shipped a few chunks."""

    def watch(created: dict[int, Any]) -> bool:
        if len(created) < actors or any(process_and_chunks(actor)[1] <= ENOUGH_CHUNKS for actor in created.values()):
            return False
        signals.received = signal.SIGINT
        return True

    return watch


def metrics(path: Path, kind: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(path / "metrics.parquet").to_pylist()
    return [row for row in rows if row["kind"] == kind]


def test_a_run_to_its_limit_leaves_every_file_in_readable_form(tmp_path: Path) -> None:
    summary = train(config("CartPole-v1"), tmp_path)
    assert summary["stopped_by"] == "max_env_steps"
    assert summary["error"] is None
    assert 2000 <= summary["env_steps"] < 2000 + 1500
    assert summary["target_syncs"] == summary["learner_steps"] // 30
    assert json.loads((tmp_path / "summary.json").read_text()) == summary
    saved = json.loads((tmp_path / "config.json").read_text())
    assert saved["settings"]["replay_capacity_transitions"] == 500_000
    assert "tolerance_samples" in saved["filled_in"]
    episodes = pq.read_table(tmp_path / "episodes.parquet").to_pylist()
    assert len(episodes) == summary["episodes"] > 0
    assert all(row["episode_return"] == row["length_env_steps"] for row in episodes)  # CartPole pays 1 a step
    assert metrics(tmp_path, "look")[-1]["learner_steps"] % 30 == 0
    for name in ("q_network.pth", "last_q_network.pth"):
        state = torch.load(tmp_path / name, weights_only=True)
        assert [tuple(tensor.shape) for tensor in state.values()] == [(32, 4), (32,), (2, 32), (2,)]
    assert (tmp_path / "learning_curve.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("actors", "samples_per_insert"), [(1, 1.0), (2, 8.0), (8, 32.0)])
def test_samples_per_insert_comes_out_as_set(tmp_path: Path, actors: int, samples_per_insert: float) -> None:
    base = config("CartPole-v1", samples_per_insert=samples_per_insert, max_env_steps=12_000 if actors < 8 else 6000)
    summary = train(
        dataclasses.replace(base, actor=ActorConfig(actors=actors, envs_per_actor=2, chunk_rows=32)), tmp_path
    )
    assert summary["samples_per_insert"] == pytest.approx(samples_per_insert, rel=0.1)


def test_params_that_force_an_action_reach_every_actor_and_a_replaced_one(tmp_path: Path) -> None:
    """Initial params under which action 0 always wins: with epsilon 0 every episode earns the full reward."""
    state = {"0.weight": torch.zeros(32, 1), "0.bias": torch.zeros(32), "2.weight": torch.zeros(2, 32)}
    saved = tmp_path / "saved"
    saved.mkdir()
    torch.save({**state, "2.bias": torch.tensor([1.0, 0.0])}, saved / "q_network.pth")
    base = config("environments:OneState-v0", max_env_steps=None, samples_per_insert=1.0)
    forced = dataclasses.replace(
        base,
        run=dataclasses.replace(base.run, initial_params=str(saved)),
        actor=dataclasses.replace(base.actor, epsilon_start=0.0, epsilon_end=0.0),
        learner=dataclasses.replace(base.learner, learning_rate=1e-5, learning_rate_final=1e-5),
    )

    run = tmp_path / "run"
    signals = StopSignals()
    summary = train(forced, run, build_and_watch(kill(1, signals)), signals)
    episodes = pq.read_table(run / "episodes.parquet").to_pylist()
    assert {(row["actor_id"], row["incarnation"]) for row in episodes} == {(0, 0), (1, 0), (1, 1)}
    assert {row["episode_return"] for row in episodes} == {5.0}
    assert summary["duplicate_chunks"] == 0
    assert summary["actor_restarts"] == 1


def test_a_greedy_policy_that_walks_into_a_wall_is_looked_at_told_and_ends_with_its_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a time limit its episodes have no end; those of training have one, by epsilon."""
    saved = write_constant_network(tmp_path / "saved", "environments:ShortCorridor-v0", [1.0, 0.0], 3)
    base = config("environments:ShortCorridor-v0", max_env_steps=3000)
    stuck = dataclasses.replace(
        base,
        run=dataclasses.replace(base.run, initial_params=str(saved)),
        network=NetworkConfig(hidden=()),
        actor=dataclasses.replace(base.actor, epsilon_start=0.6, epsilon_end=0.6),
        learner=dataclasses.replace(base.learner, learning_rate=1e-5, learning_rate_final=1e-5),
    )
    run = tmp_path / "run"
    summary = train(stuck, run)
    assert summary["stopped_by"] == "max_env_steps"
    assert summary["last_evaluation_return"] <= -1000
    looks = metrics(run, "look")
    assert all(row["evaluation_unended"] == row["evaluation_episodes"] for row in looks)  # fewer on a busy machine
    assert summary["evaluation_unended"] == looks[-1]["evaluation_episodes"]
    longest = max(row["length_env_steps"] for row in pq.read_table(run / "episodes.parquet").to_pylist())
    assert -looks[-1]["evaluation_return"] <= max(1000, 20 * longest)
    assert capsys.readouterr().out.count("episodes did not end within") == 1


@pytest.mark.parametrize("shards", [1, 2])
@pytest.mark.parametrize("hidden", [(32,), (200, 200)])  # by value, and above Ray's inline limit by reference
def test_newer_params_reach_every_actor_by_way_of_its_acks(
    tmp_path: Path, hidden: tuple[int, ...], shards: int
) -> None:
    base = config("environments:OneState-v0", max_env_steps=3000, replay_shards=shards)
    summary = train(dataclasses.replace(base, network=NetworkConfig(hidden=hidden)), tmp_path)
    episodes = pq.read_table(tmp_path / "episodes.parquet").to_pylist()
    newest = {row["actor_id"]: row["params_version"] for row in episodes}  # the last one stays
    assert sorted(newest) == [0, 1]
    assert min(newest.values()) > 0.5 * summary["learner_steps"]


def test_truncation_keeps_the_bootstrap_through_the_whole_system(tmp_path: Path) -> None:
    """One state, reward 1 or 0, cut after 5 steps, gamma 0.9: Q = 10 and 9 (as termination 3.6 and 2.6)."""
    base = config("environments:OneState-v0", max_env_steps=6000)
    analytic = dataclasses.replace(
        base,
        actor=dataclasses.replace(base.actor, gamma=0.9, n_step=1, epsilon_start=0.5, epsilon_end=0.5),
        learner=dataclasses.replace(base.learner, learning_rate=3e-3, target_sync_learner_steps=20),
    )
    train(analytic, tmp_path)
    state = list(torch.load(tmp_path / "last_q_network.pth", weights_only=True).values())
    hidden = torch.relu(state[0] @ torch.ones(1) + state[1])
    assert (state[2] @ hidden + state[3]).tolist() == pytest.approx([10.0, 9.0], abs=0.1)


@pytest.mark.parametrize("env", ["ShortEpisodes-v0", "OddObservations-v0", "Slow-v0"])
def test_unusual_environments_train(tmp_path: Path, env: str) -> None:
    """A slow one stops after few steps, so there each chunk but the first waits until the learner has sampled."""
    base = config(f"environments:{env}", max_env_steps=1500, learning_starts_transitions=20)
    if env == "Slow-v0":
        base = config(
            f"environments:{env}",
            max_env_steps=60,
            learning_starts_transitions=5,
            samples_per_insert=64.0,
            tolerance_samples=640.0,  # of ten rows
        )
        base = dataclasses.replace(base, actor=dataclasses.replace(base.actor, chunk_rows=4))
    summary = train(base, tmp_path)
    assert summary["stopped_by"] == "max_env_steps"
    assert summary["learner_steps"] > 0
    assert summary["solved"] is False
    episodes = pq.read_table(tmp_path / "episodes.parquet").to_pylist()
    limit = {"ShortEpisodes-v0": 1, "OddObservations-v0": 20, "Slow-v0": 5}[env]
    assert {row["length_env_steps"] for row in episodes} == {limit}


def test_an_error_in_an_environment_ends_the_run_with_role_and_traceback(tmp_path: Path) -> None:
    summary = train(config("environments:FailsAtStep37-v0"), tmp_path)
    assert summary["stopped_by"] == "error"
    assert summary["error"].startswith("actor-")
    assert "the simulator broke at step 37" in summary["error"]
    assert "environments.py" in summary["error"]
    assert pq.read_table(tmp_path / "metrics.parquet").num_columns > 20


def test_an_infinite_reward_ends_the_run_with_the_reason(tmp_path: Path) -> None:
    summary = train(config("environments:InfiniteReward-v0"), tmp_path)
    assert summary["error"].startswith("learner: ")
    assert "non-finite values in: reward" in summary["error"]


def test_two_replay_shards_are_one_ring_for_learner_and_actors(tmp_path: Path) -> None:
    """The ring is full at the end, with 4,001 places in both together."""
    base = config(
        "CartPole-v1", replay_shards=2, samples_per_insert=8.0, max_env_steps=12_000, replay_capacity_transitions=4001
    )
    summary = train(base, tmp_path)
    assert (summary["stopped_by"], summary["error"]) == ("max_env_steps", None)
    assert summary["samples_per_insert"] == pytest.approx(8.0, rel=0.1)
    shards = summary["replay_shards"]
    assert [shard["size"] for shard in shards] == [2001, 2000]
    assert sum(shard["transitions"] for shard in shards) == summary["transitions"]
    assert shards[0]["transitions"] == pytest.approx(shards[1]["transitions"], rel=0.1)
    sampled = sum(shard["sampled"] for shard in shards)
    trained = summary["learner_steps"] * 32
    assert trained <= sampled <= trained + 3 * rows_per_call(base, 4)  # the last calls in flight were not trained on
    assert shards[0]["sampled"] == pytest.approx(shards[1]["sampled"], rel=0.1)
    last = metrics(tmp_path, "progress")[-1]
    assert (last["replay_size"], last["replay_fill"], last["duplicate_chunks"]) == (4001, 1.0, 0)
    assert last["replay_inserting_seconds"] > 0
    episodes = pq.read_table(tmp_path / "episodes.parquet").to_pylist()
    assert len(episodes) == summary["episodes"]


def killed(handle: Any) -> Any:
    """Its process, once it is there."""
    ray.get(handle.__ray_ready__.remote(), timeout=60)
    ray.kill(handle)
    return handle


@pytest.mark.parametrize("role", ["replay-0", "replay-1", "replay-coordinator"])
def test_a_killed_shard_or_coordinator_ends_the_run_by_its_name(tmp_path: Path, role: str) -> None:
    """In the middle of the run: actors and learner meet the dead one before the driver does."""

    def build_and_kill(plan: Plan, namespace: str) -> Topology:
        topology = build_topology(plan, namespace)
        victims = {
            "replay-0": topology.shards[0],
            "replay-1": topology.shards[1],
            "replay-coordinator": topology.replay,
        }

        def watch_and_kill() -> None:
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                report = ray.get(topology.replay.report.remote(0), timeout=60)
                if report.stats.sampled:
                    ray.kill(victims[role])
                    return

        threading.Thread(target=watch_and_kill, daemon=True).start()
        return topology

    summary = train(config("CartPole-v1", replay_shards=2, max_env_steps=None), tmp_path, build_and_kill)
    assert summary["stopped_by"] == "error"
    assert summary["error"].startswith(f"{role}: its process died")
    assert (tmp_path / "summary.json").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a torch that sees no GPU")
def test_a_gpu_that_the_learners_torch_cannot_use_ends_the_run_with_the_reason(tmp_path: Path) -> None:
    """Ray gives out what its node was started with; this one is placed without asking it."""

    def build(plan: Plan, namespace: str) -> Topology:
        return build_anywhere(plan, namespace, Placement(PlacementConfig(), core=None))

    asked = dataclasses.replace(config("CartPole-v1"), placement=PlacementConfig(learner_gpus=1))
    summary = train(asked, tmp_path, build)
    assert summary["stopped_by"] == "error"
    assert summary["error"].startswith("learner: ")
    assert "--learner-gpus 1: the learner's node has a GPU, but torch" in summary["error"]
    assert "process died" not in summary["error"]


@pytest.mark.parametrize("role", ["replay", "learner", "evaluator"])
def test_a_killed_role_ends_the_run_by_its_name_and_keeps_the_files(tmp_path: Path, role: str) -> None:
    def build_and_kill(plan: Plan, namespace: str) -> Topology:
        topology = build_topology(plan, namespace)
        if role == "evaluator":
            return topology._replace(create_evaluator=lambda: killed(topology.create_evaluator()))
        killed(getattr(topology, role))
        return topology

    summary = train(config("CartPole-v1"), tmp_path, build_and_kill)
    assert summary["stopped_by"] == "error"
    assert summary["error"].startswith({"replay": "replay server"}.get(role, role))
    assert (tmp_path / "summary.json").exists()


def test_actors_that_come_later_play_too(tmp_path: Path) -> None:
    """Three begin, two follow."""
    base = config("CartPole-v1", max_env_steps=None)
    late = dataclasses.replace(base, actor=dataclasses.replace(base.actor, actors=5))
    signals = StopSignals()
    summary = train(late, tmp_path, build_and_watch(stop_once_all_play(5, signals)), signals)
    episodes = pq.read_table(tmp_path / "episodes.parquet").to_pylist()
    assert {row["actor_id"] for row in episodes} == {0, 1, 2, 3, 4}
    assert summary["stopped_by"] == "interrupted"


def test_the_newest_params_are_saved_though_the_evaluator_came_late(tmp_path: Path) -> None:
    base = config("CartPole-v1", max_env_steps=None)
    short = dataclasses.replace(base, learner=dataclasses.replace(base.learner, max_learner_steps=600))
    summary = train(short, tmp_path)
    assert summary["stopped_by"] == "max_learner_steps"
    assert metrics(tmp_path, "look")[-1]["learner_steps"] == 600


def test_actors_that_die_again_and_again_end_the_run(tmp_path: Path) -> None:
    base = config("CartPole-v1", max_env_steps=None)
    stubborn = dataclasses.replace(base, run=dataclasses.replace(base.run, actor_restarts_per_minute=0))

    summary = train(stubborn, tmp_path, build_and_watch(kill(0)))
    assert summary["error"].startswith("actor-0")
    assert "1 actor processes died within a minute, 0 are replaced" in summary["error"]


def test_roles_that_do_not_come_up_are_named(tmp_path: Path) -> None:
    """More roles than the session's 12 CPUs: after replay server, learner, evaluator and 9 actors nothing fits."""
    base = config("CartPole-v1", max_env_steps=None)
    crowded = dataclasses.replace(
        base,
        run=dataclasses.replace(base.run, ready_seconds=8.0),
        actor=dataclasses.replace(base.actor, actors=40),
    )
    summary = train(crowded, tmp_path)
    assert summary["stopped_by"] == "error"
    assert "not ready after 8 s: " in summary["error"]
    assert "actor-" in summary["error"]
    assert "learner" not in summary["error"]
    assert "--ready-seconds" in summary["error"]


def test_a_limit_of_seconds_holds_while_roles_are_still_starting(tmp_path: Path) -> None:
    base = config("CartPole-v1")
    hasty = dataclasses.replace(base, run=dataclasses.replace(base.run, max_seconds=0.01))
    assert train(hasty, tmp_path)["stopped_by"] == "max_seconds"


def test_a_timeline_has_the_calls_and_the_activities_of_every_role(tmp_path: Path) -> None:
    base = config("CartPole-v1", max_env_steps=8000)
    asked = dataclasses.replace(base, run=dataclasses.replace(base.run, timeline=True))
    summary = train(asked, tmp_path)
    events = json.loads((tmp_path / "timeline.json").read_text())["traceEvents"]
    names = {event["pid"]: event["args"]["name"] for event in events if event["name"] == "process_name"}
    spans = [(names[event["pid"]], event["name"]) for event in events if event["ph"] == "X"]
    called = {"replay-0": "add", "learner": "stats", "evaluator": "take", "actor-0": "stats", "actor-1": "stats"}
    assert set(called.items()) <= set(spans)
    assert {("learner", "updating"), ("actors", "environment"), ("replay", "inserting")} <= set(spans)
    assert 0 < spans.count(("replay-0", "add")) <= metrics(tmp_path, "progress")[-1]["chunks"]
    last = max(event["ts"] + event["dur"] for event in events if event["ph"] == "X")
    assert last / 1e6 <= summary["seconds_total"] + 1.0  # of the same clock, as far as it can be told


def test_without_the_option_ray_records_no_calls(tmp_path: Path) -> None:
    train(config("CartPole-v1"), tmp_path)
    assert not (tmp_path / "timeline.json").exists()
    named = [event for event in ray.timeline() if event["args"].get("name") == "sample_encoded"]
    assert named == [] or max(event["ts"] for event in named) < 1e6 * (tmp_path / "config.json").stat().st_mtime
