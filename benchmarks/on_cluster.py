"""A cluster of hosts on this machine: does the same command solve there, and what does it survive?

Head, three worker hosts and the driver's own, each with its address, processes and memory. Needs root and Linux.
"""

from __future__ import annotations

import json
import secrets
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psutil
import pyarrow.parquet as pq

from benchmarks.certificates import make_certificates
from benchmarks.cluster import Cluster
from benchmarks.hosts import Host, Network, signal_to, why_not
from benchmarks.launching import new_folder, spread
from common.config import BadInput, Config
from common.rows import row_dtype
from common.run_files import EPISODES, METRICS

Part = Literal["solve", "traffic", "worker", "cut", "core", "silent-core", "head"]
_ACTORS_A_NODE = 3  # so that three nodes hold nine, and two do not hold eight
_LONG = ("--no-stop-when-solved", "--max-env-steps", "1000000000")
_PATIENCE_SECONDS = 180.0
_WINDOW_SECONDS = 2.0
_TRAFFIC_SECONDS = 20.0


@dataclass(frozen=True)
class OnCluster:
    """Solves on a cluster, then takes parts of it away in the middle of a run."""

    parts: tuple[Part, ...] = ("solve", "traffic", "worker", "cut", "core", "silent-core", "head")
    """Seeds to solved; what crosses the border of the learner's node; a worker node lost and another one joining; a
    cable cut; the node of learner and replay server lost, with its processes or for its cable; the head lost."""
    seeds: int = 5
    """Of solve."""
    actors: int = 8
    """Actor processes."""
    cut_seconds: float = 10.0
    """Length of the cut."""
    tls: bool = False
    """All of Ray's connections with TLS; needs openssl."""
    runs: Path | None = None
    """Folder for the runs [a temporary one]."""


class Hall:
    """The cluster of docker-compose.yml with three workers that have no copy of the code, and a driver's host."""

    def __init__(self, network: Network, folder: Path, tls: bool) -> None:
        names = ("DNS:localhost", "IP:127.0.0.1", "DNS:head", *(f"IP:{address}" for address in network.addresses(9)))
        variables = make_certificates(network.folder / "certificates", names) if tls else {}
        self.cluster = Cluster(network, secrets.token_hex(32), variables)
        self.folder = folder
        self.workers = [self.add_worker() for _ in range(3)]
        self.home = self.cluster.add_job_host()

    def add_worker(self) -> Host:
        """One more, up and joined."""
        return self.cluster.add_worker(_ACTORS_A_NODE, with_code=False)

    def run(self, name: str, *options: str) -> Run:
        """Starts launch.py on the driver's host."""
        path = self.folder / name
        log = self.folder / f"{name}.log"
        arguments = ["--address", "auto", "--run-dir", str(path), *options]
        return Run(self.cluster.launch(self.home, arguments, log), path, log)


class Run:
    """A run as it can be followed from outside."""

    def __init__(self, process: Any, path: Path, log: Path) -> None:
        self.process = process
        self.path = path
        self.log = log

    def wait_for(self, what: str, is_there: Callable[[], bool]) -> float:
        """Seconds until it was. Raises RuntimeError where the run ends before, or never gets there."""
        began = time.monotonic()
        while not is_there():
            ended = self.process.poll() is not None and not is_there()
            if ended or time.monotonic() - began > _PATIENCE_SECONDS:
                raise RuntimeError(f"{what} did not come; {self.log}:\n{self.log.read_text()}")
            time.sleep(0.1)
        return time.monotonic() - began

    def wait_for_text(self, text: str, count: int = 1) -> float:
        """In what it prints."""
        return self.wait_for(text, lambda: self.log.read_text().count(text) >= count)

    def wait_for_all(self, actors: int) -> float:
        """Until so many play."""
        return self.wait_for(f"{actors} actors", lambda: (self.newest() or {}).get("actors_alive") == actors)

    def newest(self) -> dict[str, Any] | None:
        """The newest of `progress`."""
        rows = self.progress()
        return rows[-1] if rows else None

    def progress(self) -> list[dict[str, Any]]:
        """Rows of metrics.parquet, a few seconds old."""
        if not (self.path / METRICS).exists():
            return []
        return [row for row in pq.read_table(self.path / METRICS).to_pylist() if row["kind"] == "progress"]

    def seconds(self) -> float:
        """Since its process started, as its files count them."""
        (launched,) = psutil.Process(self.process.pid).children()
        return time.time() - float(launched.create_time())

    def end(self) -> tuple[dict[str, Any], float]:
        """Its summary, and seconds until its process had ended."""
        began = time.monotonic()
        self.process.wait(timeout=_PATIENCE_SECONDS)
        return json.loads((self.path / "summary.json").read_text()), time.monotonic() - began

    def stop(self) -> dict[str, Any]:
        """As Ctrl-C does."""
        signal_to(self.process, signal.SIGINT)
        return self.end()[0]


def measure_on_cluster(settings: OnCluster) -> list[dict[str, Any]]:
    """One row a seed or event."""
    if (missing := why_not()) is not None:
        raise BadInput(f"on-cluster: {missing}")
    folder = new_folder(settings.runs).resolve()
    rows: list[dict[str, Any]] = []
    measures = {
        "solve": _solve,
        "traffic": _traffic,
        "worker": _lose_worker,
        "cut": _cut,
        "core": _lose_core,
        "silent-core": _silence_core,
        "head": _lose_head,
    }
    for part in settings.parts:
        with Network(kept=[folder]) as network:  # each part leaves its cluster damaged
            rows += measures[part](Hall(network, folder, settings.tls), settings)
    return rows


def _solve(hall: Hall, settings: OnCluster) -> list[dict[str, Any]]:
    rows = []
    for seed in range(settings.seeds):
        run = hall.run(f"solve-{seed}", "--actors", str(settings.actors), "--seed", str(seed))
        summary, _ = run.end()
        nodes = {where for role, where in summary["nodes"].items() if role.startswith("actor-")}
        core = {summary["nodes"][role] for role in ("learner", "replay server", "evaluator")}
        rows.append({"part": "solve", **summary, "actor_nodes": len(nodes), "core_nodes": len(core)})
        print(
            f"seed {seed}: {'solved' if summary['solved'] else summary['stopped_by']} in "
            f"{summary['seconds_to_solve'] or 0:.1f} s, {summary['solved_learner_steps']} learner steps; actors on "
            f"{len(nodes)} nodes, core on {len(core)}",
            flush=True,
        )
    print(f"solved: {sum(row['solved'] for row in rows)} of {len(rows)}")
    print(f"seconds to solve: {spread([row['seconds_to_solve'] for row in rows], '.1f')}")
    return rows


def _traffic(hall: Hall, settings: OnCluster) -> list[dict[str, Any]]:
    run = hall.run("traffic", "--actors", str(settings.actors), *_LONG)
    run.wait_for_all(settings.actors)
    counted = [(run.seconds(), _bytes_through(hall.home))]
    time.sleep(_TRAFFIC_SECONDS)
    counted.append((run.seconds(), _bytes_through(hall.home)))
    run.stop()
    (began, bytes_before), (ended, bytes_after) = counted
    within = [row for row in run.progress() if began <= row["seconds"] <= ended]
    seconds = within[-1]["seconds"] - within[0]["seconds"]
    row_bytes = row_dtype(4).itemsize
    learner_steps = within[-1]["learner_steps"] - within[0]["learner_steps"]
    batches = learner_steps * Config().learner.batch_size * row_bytes / seconds / 1e6
    chunks = (within[-1]["transitions"] - within[0]["transitions"]) * row_bytes / seconds / 1e6
    crossed = (bytes_after - bytes_before) / (ended - began) / 1e6
    print(
        f"MB a second: {batches:.2f} of batches from replay server to learner, {chunks:.2f} of chunks from the actors, "
        f"{crossed:.2f} through the network card of their node, both ways and all of Ray's included"
    )
    return [{"part": "traffic", "batches_mb_s": batches, "chunks_mb_s": chunks, "crossed_mb_s": crossed}]


def _lose_worker(hall: Hall, settings: OnCluster) -> list[dict[str, Any]]:
    run = hall.run("worker", "--actors", str(settings.actors), *_LONG)
    run.wait_for_all(settings.actors)
    hall.workers[1].power_off()
    noticed = run.wait_for_text("is gone, with")
    went_on = _went_on(run)
    hall.add_worker()
    back = run.wait_for_all(settings.actors)
    run.wait_for_text(": solved")
    summary = run.stop()
    row = {"part": "worker", **summary, "noticed_seconds": noticed, "back_seconds": back, "went_on": went_on}
    print(
        f"a worker node lost: said after {noticed:.1f} s, the run went on at {went_on:.0%} of its learner steps a "
        f"second; after another node had joined, all {settings.actors} actors played within {back:.1f} s; "
        f"{_books(summary)}"
    )
    return [row]


def _cut(hall: Hall, settings: OnCluster) -> list[dict[str, Any]]:
    run = hall.run("cut", "--actors", str(settings.actors), *_LONG)
    run.wait_for_all(settings.actors)
    victim = hall.workers[1]
    time.sleep(10.0)
    here = [int(name.partition("-")[2]) for name in _names(victim) if name.startswith("ray::actor-")]
    cut_at = run.seconds()
    victim.cable.cut()
    time.sleep(settings.cut_seconds)
    victim.cable.mend()
    mended_at = run.seconds()
    time.sleep(30.0)
    summary = run.stop()
    rates = _env_steps_a_window(run, here)
    usual = [rate for second, rate in rates if second < cut_at][-5:]
    level = sum(usual) / len(usual)
    silent_at = next((second for second, rate in rates if second > cut_at and rate <= level / 2), cut_at)
    back_at = next((second for second, rate in rates if second > silent_at and rate > level / 2), None)
    back = None if back_at is None else back_at - mended_at
    print(
        f"cable of {len(here)} actors cut for {settings.cut_seconds:g} s: their environment steps a second before "
        f"{level:.0f}; back above half of that "
        + ("never" if back is None else f"{abs(back):.1f} s {'after' if back > 0 else 'before'} its end")
        + f"; restarts {summary['actor_restarts']}; {_books(summary)}"
    )
    return [{"part": "cut", **summary, "actors_cut": here, "rates": rates, "back_seconds": back}]


def _lose_core(hall: Hall, settings: OnCluster) -> list[dict[str, Any]]:
    run = _run_with_core_on_a_worker(hall, "core")
    hall.workers[0].power_off()
    return [_report_end(run, "core", "the node of learner, replay server and evaluator lost")]


def _silence_core(hall: Hall, settings: OnCluster) -> list[dict[str, Any]]:
    """Nothing tells anybody that it is gone: no connection is closed."""
    run = _run_with_core_on_a_worker(hall, "silent-core")
    hall.workers[0].cable.cut()
    return [_report_end(run, "silent-core", "the node of learner, replay server and evaluator cut off")]


def _run_with_core_on_a_worker(hall: Hall, name: str) -> Run:
    run = hall.run(name, "--actors", "5", "--core-node", hall.workers[0].address, *_LONG)
    run.wait_for_all(5)
    return run


def _lose_head(hall: Hall, settings: OnCluster) -> list[dict[str, Any]]:
    run = hall.run("head", "--actors", str(settings.actors), *_LONG)
    run.wait_for_all(settings.actors)
    hall.cluster.head.power_off()
    return [_report_end(run, "head", "the head lost")]


def _report_end(run: Run, part: str, what: str) -> dict[str, Any]:
    summary, seconds = run.end()
    kept = len(run.progress())
    print(
        f"{what}: ended with {run.process.returncode} after {seconds:.1f} s, {kept} rows of metrics kept: "
        f"{str(summary['error']).splitlines()[0]}"
    )
    return {"part": part, **summary, "exit_code": run.process.returncode, "end_seconds": seconds, "metrics_rows": kept}


def _went_on(run: Run) -> float:
    """Learner steps a second of the last moments, in those of the first."""
    time.sleep(10.0)
    rates = [row["learner_steps_per_second"] for row in run.progress() if row["learner_steps"] > 0]
    return float(sum(rates[-5:]) / 5 / max(rates))


def _env_steps_a_window(run: Run, actors: Sequence[int]) -> list[tuple[float, float]]:
    """Of the episodes that these actors finished: (when, environment steps a second) for each window."""
    episodes = [row for row in pq.read_table(run.path / EPISODES).to_pylist() if row["actor_id"] in actors]
    last = max(row["seconds"] for row in episodes)
    windows = [0.0] * (int(last / _WINDOW_SECONDS) + 1)
    for row in episodes:
        windows[int(row["seconds"] / _WINDOW_SECONDS)] += row["length_env_steps"] / _WINDOW_SECONDS
    return [((index + 1) * _WINDOW_SECONDS, rate) for index, rate in enumerate(windows)]


def _books(summary: dict[str, Any]) -> str:
    return (
        f"{summary['chunks']:,} chunks counted, {summary['missing_chunks']} missing, "
        f"{summary['duplicate_chunks']} came again and were not inserted"
    )


def _names(host: Host) -> list[str]:
    return [process.name() for process in host.processes()]


def _bytes_through(host: Host) -> int:
    counters = host.run(["cat", "/sys/class/net/eth0/statistics/rx_bytes", "/sys/class/net/eth0/statistics/tx_bytes"])
    return sum(map(int, counters.stdout.split()))
