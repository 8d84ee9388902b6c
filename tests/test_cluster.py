"""The cluster of docker-compose.yml, its services' own commands on hosts of their own: attached runs as users see them.

The tests go from a whole cluster to a broken one, in this order.
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from launching import wait_until as wait_until_for

from benchmarks.cluster import Cluster
from benchmarks.hosts import Host, Network, signal_to, why_not

pytestmark = [
    pytest.mark.skipif(why_not() is not None, reason=f"a cluster of hosts: {why_not()}"),
    pytest.mark.timeout(700),  # the first test starts the cluster
]
WAIT_SECONDS = 200.0
LONG = ("--no-stop-when-solved", "--max-env-steps", "1000000000", "--hidden", "16")
ACTORS = 4
TOKEN = secrets.token_hex(32)
# A fifth and a third of what is usual.
_QUICK = {"RAY_metrics_report_interval_ms": "1000", "RAY_health_check_period_ms": "1000"}


class Hall:
    """The head, two workers without the code, and a driver's host."""

    def __init__(self, network: Network) -> None:
        self.folder = network.folder
        self.cluster = Cluster(network, TOKEN, _QUICK)
        self.workers = [self.cluster.add_worker(with_code=False) for _ in range(2)]
        self.home = self.cluster.add_job_host()


@pytest.fixture(scope="module")
def hall() -> Iterator[Hall]:
    with Network() as network:
        yield Hall(network)


def wait_until(holds: Callable[[], bool], what: str) -> None:
    wait_until_for(holds, what, WAIT_SECONDS)


def summary_of(run: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((run / "summary.json").read_text())
    return content


def test_the_jobs_own_command_solves_on_hosts_that_have_no_copy_of_the_code(hall: Hall) -> None:
    run = hall.folder / "solved"
    done = hall.cluster.run_job(hall.home, "--run-dir", str(run))
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^Ray \S+ cluster at auto \(\S+:6379\): 4 nodes, 19 CPUs$", done.stdout, re.MULTILINE)
    assert done.stdout.count("ray get-auth-token") == 1
    summary = summary_of(run)
    assert summary["solved"]
    nodes = summary["nodes"]
    assert {nodes[role] for role in ("learner", "replay server", "evaluator")} == {f"job ({hall.home.address})"}
    actors = {where for role, where in nodes.items() if role.startswith("actor-")}
    assert all(any(worker.address in where for where in actors) for worker in hall.workers)
    assert (summary["missing_chunks"], summary["actor_restarts"]) == (0, 0)
    written = [done.stdout, done.stderr, *(path.read_text(errors="replace") for path in run.rglob("*.json"))]
    assert not any(TOKEN in text for text in written)


@pytest.mark.parametrize(
    ("options", "environment", "expected"),
    [
        ("--address auto", {"RAY_AUTH_TOKEN_PATH": "", "RAY_AUTH_TOKEN": "0" * 64}, "asks for a token, and ours is"),
        ("--address head:6379", {"RAY_AUTH_TOKEN_PATH": "", "RAY_AUTH_MODE": ""}, "in RAY_AUTH_TOKEN, in a file that"),
        ("--address head:6379", {"RAY_AUTH_TOKEN_PATH": "/nowhere"}, "/nowhere; give the cluster's token in"),
        ("--address head:6380", {}, "--address head:6380: nobody listens at head:6380"),
        ("--address head:8265", {}, "is no Ray head"),
        ("--address 10.77.0.99:6379", {}, "nobody listens at 10.77.0.99:6379"),
        ("", {"RAY_ADDRESS": "head:6380"}, "--address head:6380: nobody listens"),
        ("--address ray://head:10001", {}, "use ray job submit"),
        ("--address auto --actors 30", {}, "--actors 30: all roles need 33 CPUs and the cluster has 19; at most 16"),
        ("--address auto --learner-gpus 1", {}, "--learner-gpus 1: learner, evaluator and replay server need 1 GPUs"),
        ("--address auto --learner-cpus 2", {}, "--core-node driver: learner, evaluator and replay server need 4 CPUs"),
        ("--address auto --core-node mars", {}, "--core-node mars: no such node"),
        ("--address auto --replay-capacity-transitions 1000000000000", {}, "transitions would fit"),
        ("--address auto --actors 0", {}, "--actors 0: must be"),
        ("--address auto --run-dir /proc/nowhere", {}, "--run-dir /proc/nowhere: cannot be written"),
    ],
)
def test_bad_input_when_attached_gets_one_clear_line_and_exit_code_2(
    hall: Hall, options: str, environment: dict[str, str], expected: str
) -> None:
    run = hall.folder / "refused"
    given = options.split() if "--run-dir" in options else [*options.split(), "--run-dir", str(run)]
    tried = hall.cluster.try_launch(hall.home, given, environment)
    assert tried.returncode == 2, tried.stdout + tried.stderr
    assert tried.stderr.startswith("error: ")
    assert tried.stderr.count("\n") == 1
    assert expected in tried.stderr
    assert "0" * 64 not in tried.stderr + tried.stdout
    assert not run.exists()


def test_a_host_that_is_no_node_is_told_how_to_join(hall: Hall) -> None:
    stranger = hall.cluster.add_stranger()
    tried = hall.cluster.try_launch(stranger, ["--address", "head:6379"])
    assert tried.returncode == 2, tried.stdout + tried.stderr
    assert tried.stderr.startswith("error: --address head:6379: this host is no node of the cluster")
    tried = hall.cluster.try_launch(stranger, ["--address", "auto"])
    assert tried.stderr.startswith("error: --address auto: no Ray cluster runs on this machine")


def test_a_submitted_job_trains_with_its_core_on_a_worker(hall: Hall) -> None:
    run = hall.folder / "submitted"
    options = ["--core-node", "any", "--actors", "2", "--max-env-steps", "3000", "--no-stop-when-solved"]
    submit = ["ray", "job", "submit", "--address", "http://head:8265", "--working-dir", ".", "--"]
    done = hall.cluster.run(hall.home, [*submit, "python", "launch.py", *options, "--run-dir", str(run)])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "RAY_ADDRESS is set, so this run attaches to" in done.stdout
    summary = summary_of(run)
    assert summary["stopped_by"] == "max_env_steps"
    assert summary["nodes"]["learner"] == summary["nodes"]["replay server"]
    assert TOKEN not in done.stdout + done.stderr


class LongRun:
    """A run that goes on until it is stopped."""

    def __init__(self, hall: Hall, name: str, *options: str) -> None:
        self.path = hall.folder / name
        self._log = hall.folder / f"{name}.log"
        arguments = ["--address", "auto", *LONG, "--run-dir", str(self.path), *options]
        self.process: subprocess.Popen[str] = hall.cluster.launch(hall.home, arguments, self._log)

    @property
    def output(self) -> str:
        return self._log.read_text()

    def wait_for(self, text: str, count: int = 1) -> None:
        def is_there() -> bool:
            assert self.process.poll() is None, self.output
            return self.output.count(text) >= count

        wait_until(is_there, f"{text!r} never came:\n{self.output}")

    def actors_alive(self) -> int:
        """In the newest of its metrics, which are a few seconds old; 0 before the first."""
        metrics = self.path / "metrics.parquet"
        rows = pq.read_table(metrics, columns=["kind", "actors_alive"]).to_pylist() if metrics.exists() else []
        return next((row["actors_alive"] for row in reversed(rows) if row["kind"] == "progress"), 0)

    def interrupt(self) -> int:
        signal_to(self.process, signal.SIGINT)
        return self.process.wait(timeout=WAIT_SECONDS)


def actor_processes(host: Host) -> list[str]:
    return [process.name() for process in host.processes() if process.name().startswith("ray::actor-")]


@pytest.fixture(scope="module")
def long_run(hall: Hall) -> LongRun:
    """Actors that play, on both workers."""
    run = LongRun(hall, "long", "--actors", str(ACTORS))
    run.wait_for("env steps (")
    wait_until(lambda: run.actors_alive() == ACTORS, "all actors play")
    return run


def test_a_second_run_is_told_that_others_use_what_it_needs(hall: Hall, long_run: LongRun) -> None:
    tried = hall.cluster.try_launch(hall.home, ["--address", "auto", "--run-dir", str(hall.folder / "second")])
    assert tried.returncode == 2, tried.stdout + tried.stderr
    assert "--core-node driver: others use the CPUs or GPUs there" in tried.stderr
    assert long_run.process.poll() is None


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed")
def test_prometheus_finds_every_node_by_the_services_names_and_has_the_runs_metrics(
    hall: Hall, long_run: LongRun
) -> None:
    prometheus = hall.cluster.start_prometheus()

    def values(query: str) -> dict[str, float]:
        return {sample["metric"].get("instance", ""): float(sample["value"][1]) for sample in prometheus(query)}

    nodes = [hall.cluster.head, *hall.workers, hall.home]
    expected = {f"{node.address}:8080" for node in nodes}
    wait_until(lambda: set(values('up{job="ray"} == 1')) == expected, "every node is scraped")
    wait_until(lambda: len(values('up{job="ray-head"} == 1')) == 2, "autoscaler and dashboard are scraped")
    this_run = f'{{run="{long_run.path.name}"}}'  # counters of earlier ones stay as they were
    steps = f"sum by (actor_id) (ray_dqn_env_steps_total{this_run})"
    wait_until(lambda: len(prometheus(steps)) == ACTORS, "environment steps of every actor")
    assert {sample["metric"]["actor_id"] for sample in prometheus(steps)} == {str(actor) for actor in range(ACTORS)}
    assert values(f"max(ray_dqn_actors_wanted{this_run})") == {"": ACTORS}
    assert prometheus("ALERTS") == []
    everything = json.dumps(prometheus('{__name__=~".+"}'))
    assert "ray_dqn_learner_steps_total" in everything
    assert TOKEN not in everything


def test_the_actors_of_a_lost_worker_play_on_where_there_is_room(hall: Hall, long_run: LongRun) -> None:
    lost = len(actor_processes(hall.workers[0]))
    assert lost > 0
    hall.workers[0].power_off()
    long_run.wait_for(" is gone, with actor-")
    long_run.wait_for("plays again, on node", count=lost)
    assert len(actor_processes(hall.workers[1])) == ACTORS
    wait_until(lambda: long_run.actors_alive() == ACTORS, "all play again")
    assert long_run.interrupt() == 130, long_run.output
    summary = summary_of(long_run.path)
    assert (summary["stopped_by"], summary["actor_restarts"]) == ("interrupted", lost)
    assert summary["missing_chunks"] == 0
    assert all(hall.workers[1].address in summary["nodes"][f"actor-{actor}"] for actor in range(ACTORS))
    wait_until(lambda: not actor_processes(hall.workers[1]), "no actor is left")


def test_a_node_with_another_numpy_is_named_before_anything_starts(hall: Hall) -> None:
    metadata = Path(str(distribution("numpy").locate_file(""))) / f"{distribution('numpy').name}-x"
    metadata = next(path for path in metadata.parent.glob("numpy-*.dist-info/METADATA"))
    other = hall.folder / "METADATA"
    other.write_text(re.sub(r"^Version: .*$", "Version: 1.0.0", metadata.read_text(), flags=re.MULTILINE))
    hall.cluster.add_worker(mounted={other: metadata})
    tried = hall.cluster.try_launch(hall.home, ["--address", "auto", "--run-dir", str(hall.folder / "refused")])
    assert tried.returncode == 2, tried.stdout + tried.stderr
    assert tried.stderr.count("\n") == 1
    assert re.search(r"error: node \S+ \(\S+\) has numpy 1\.0\.0, the driver numpy \d", tried.stderr)


def test_a_head_that_has_died_is_named_and_nothing_waits_for_it(hall: Hall) -> None:
    hall.cluster.head.power_off()
    tried = hall.cluster.try_launch(hall.home, ["--address", "auto", "--run-dir", str(hall.folder / "refused")])
    assert tried.returncode == 2, tried.stdout + tried.stderr
    assert tried.stderr.startswith("error: --address auto: nobody listens at")
    assert tried.stderr.count("\n") == 1
