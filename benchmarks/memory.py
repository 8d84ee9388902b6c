"""What does a run keep in memory, does it grow, and does it stay flat while the learner stands still?

The unique set size (USS) of a process is what its end would give back. A page of a library or of Ray's object store
counts in it while no other process maps that page: where another Ray or torch runs on the machine and ends, the USS of
ours jumps. So beside it stands the anonymous memory, which only the process itself can change. MB are 10**6 bytes.
On Linux.
"""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import psutil
import pyarrow.parquet as pq
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from benchmarks.growth import FLAT_MB, describe_growth
from benchmarks.launching import new_folder, spread
from benchmarks.watching import Processes, launch_and_watch, run_options
from common.config import BadInput
from common.rows import pack
from common.run_files import METRICS
from common.types import Transition
from replay_server.buffer import ReplayBuffer, row_bytes

MB = 10**6
ACTOR_BAR_MB = 130.0
RING_BAR = 1.10  # of rows x bytes
_CARTPOLE_OBSERVATION = 4
_RING_CHUNK = 500  # rows in an insert while filling


@dataclass(frozen=True)
class Memory:
    """Samples the unique set size of every process of a run once a second, and fills a large ring by itself."""

    parts: tuple[Literal["actors", "ring", "stopped"], ...] = ("actors", "ring", "stopped")
    """actors: a long run; ring: a filled ring by itself; stopped: a run whose learner is stopped for a while."""
    actors: int = 8
    """Actor processes of the runs."""
    seconds: float = 600.0
    """Length of the long run, start included."""
    settle_seconds: float = 60.0
    """Seconds of the long run before slopes and medians are taken."""
    ring_rows: int = 1_000_000
    """CartPole rows in the ring."""
    ring_repeats: int = 5
    """Rings filled, each in a new process."""
    warm_seconds: float = 60.0
    """Seconds of a run, start included, before its learner is stopped."""
    stopped_seconds: float = 60.0
    """Seconds for which the learner is stopped."""
    after_seconds: float = 30.0
    """Seconds for which the run goes on after that."""
    runs: Path | None = None
    """Folder for the runs [a temporary one]."""


class Sample(NamedTuple):
    """One process at one moment."""

    seconds: float  # since the start of the run
    role: str
    pid: int
    uss: float  # MB
    anonymous: float  # MB that no file backs: what it allocated


def measure_memory(settings: Memory) -> list[dict[str, Any]]:
    """Rows of every part asked for: one a role, one a ring, one a process of the stopped run."""
    if settings.seconds < settings.settle_seconds + 5:
        raise BadInput(
            f"--seconds {settings.seconds:g}: must be at least 5 more than --settle-seconds {settings.settle_seconds:g}"
        )
    folder = new_folder(settings.runs)
    rows = []
    if "actors" in settings.parts:
        rows += measure_run(settings, folder / "long")
    if "ring" in settings.parts:
        rows += measure_ring(settings)
    if "stopped" in settings.parts:
        rows += measure_stopped(settings, folder / "stopped")
    report(rows)
    return rows


class Watch:
    """Samples every process once a second, and keeps the learner stopped for a while where that is asked for."""

    def __init__(self, stop_after: float | None = None, stopped_seconds: float = 0.0) -> None:
        """Both in seconds; `stop_after` counts from the start of the run. None: the learner is left alone."""
        self._stop_after = stop_after
        self._stopped_seconds = stopped_seconds
        self._learner: psutil.Process | None = None
        self.samples: list[Sample] = []
        self.stopped_at = self.resumed_at = float("inf")  # seconds since the start

    def __call__(self, seconds: float, processes: Processes) -> None:
        """Called once a second by `launch_and_watch`."""
        for role, process in processes:
            with suppress(psutil.NoSuchProcess):  # it ended meanwhile
                memory = process.memory_full_info()
                anonymous = memory.rss - memory.shared
                self.samples.append(Sample(seconds, role, process.pid, memory.uss / MB, anonymous / MB))
        if self._stop_after is not None and seconds >= self._stop_after and self._learner is None:
            self._stop(seconds, [process for role, process in processes if role == "learner"])
        elif seconds >= self.stopped_at + self._stopped_seconds and seconds < self.resumed_at:
            self.resume()
            self.resumed_at = seconds

    def _stop(self, seconds: float, learners: list[psutil.Process]) -> None:
        if not learners:
            raise RuntimeError(f"no learner {seconds:.0f} s after the start; ask for more --warm-seconds")
        self._learner, self.stopped_at = learners[0], seconds
        self._learner.suspend()

    def resume(self) -> None:
        """Lets a stopped learner go on; harmless where none is."""
        if self._learner is not None:
            with suppress(psutil.NoSuchProcess):  # the run ended it
                self._learner.resume()


# Part 1: a long run


def measure_run(settings: Memory, run_dir: Path) -> list[dict[str, Any]]:
    """One row a role, of samples before the run ends: its end loads torch and matplotlib into the driver."""
    watch = Watch()
    summary = launch_and_watch(run_options(settings.actors, settings.seconds), run_dir, watch)
    if summary["error"]:
        raise RuntimeError(f"the run in {run_dir} failed: {summary['error']}")
    by_role: dict[str, list[Sample]] = {}
    for sample in watch.samples:
        if sample.seconds < settings.seconds:
            by_role.setdefault(sample.role, []).append(sample)
    if "actor" not in by_role or by_role["actor"][0].seconds >= settings.settle_seconds:
        raise RuntimeError(f"no actor in the first {settings.settle_seconds:g} s; ask for more --settle-seconds")
    last = max(sample.seconds for samples in by_role.values() for sample in samples)
    ring_full = ring_full_seconds(run_dir)
    return [
        {"part": "actors", "role": role, "ring_full_seconds": ring_full, **describe_role(samples, settings)}
        for role, samples in by_role.items()
        if samples[-1].seconds == last and samples[0].seconds < settings.settle_seconds  # not a helper that comes late
    ]


def describe_role(samples: list[Sample], settings: Memory) -> dict[str, Any]:
    """Level and growth of one role, in MB a process."""
    moments = sorted({sample.seconds for sample in samples})
    at = {moment: [sample for sample in samples if sample.seconds == moment] for moment in moments}
    settled = [sample.uss for sample in samples if sample.seconds >= settings.settle_seconds]
    seconds = np.array(moments)
    uss = np.array([np.mean([sample.uss for sample in at[moment]]) for moment in moments])
    anonymous = np.array([np.mean([sample.anonymous for sample in at[moment]]) for moment in moments])
    return {
        "processes": len(at[moments[-1]]),
        "median_mb": float(np.median(settled)),
        "highest_mb": max(sample.uss for sample in samples),
        "seconds": moments,
        "uss": describe_growth(seconds, uss, settings.settle_seconds),
        "anonymous": describe_growth(seconds, anonymous, settings.settle_seconds),
    }


def ring_full_seconds(run_dir: Path) -> float | None:
    """When the run's ring was full: its pages are touched for the first time until then."""
    progress = [row for row in pq.read_table(run_dir / METRICS).to_pylist() if row["kind"] == "progress"]
    return next((row["seconds"] for row in progress if row["replay_fill"] >= 1), None)


# Part 2: a ring by itself


def measure_ring(settings: Memory) -> list[dict[str, Any]]:
    """One row for each ring filled."""
    expected = settings.ring_rows * row_bytes(_CARTPOLE_OBSERVATION) / MB
    rows = []
    for repetition in range(settings.ring_repeats):
        with ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn")) as pool:
            allocated, filled = pool.submit(fill_ring, settings.ring_rows).result()
        rows.append(
            {
                "part": "ring",
                "repetition": repetition,
                "ring_rows": settings.ring_rows,
                "expected_mb": expected,
                "allocated_mb": allocated,
                "filled_mb": filled,
                "ratio": filled / expected,
            }
        )
    return rows


def fill_ring(rows: int) -> tuple[float, float]:
    """MB that a ring adds to this process's USS when it is made, and when every row was written."""
    rng = np.random.default_rng(0)
    chunk = pack(
        Transition(
            observation=rng.random((_RING_CHUNK, _CARTPOLE_OBSERVATION), dtype=np.float32),
            action=rng.integers(2, size=_RING_CHUNK),
            reward=rng.random(_RING_CHUNK, dtype=np.float32),
            discount=rng.random(_RING_CHUNK, dtype=np.float32),
            next_observation=rng.random((_RING_CHUNK, _CARTPOLE_OBSERVATION), dtype=np.float32),
        )
    )
    ReplayBuffer(_RING_CHUNK, _CARTPOLE_OBSERVATION).insert(chunk)  # what the first insert of a process loads
    process = psutil.Process()
    before = process.memory_full_info().uss
    ring = ReplayBuffer(rows, _CARTPOLE_OBSERVATION)
    allocated = process.memory_full_info().uss
    while ring.inserted < rows:
        ring.insert(chunk)
    return (allocated - before) / MB, (process.memory_full_info().uss - before) / MB


# Part 3: the learner stands still


def measure_stopped(settings: Memory, run_dir: Path) -> list[dict[str, Any]]:
    """One row a process, and one of the run: a wait may outlast its deadline, which ends the run with an error."""
    seconds = settings.warm_seconds + settings.stopped_seconds + settings.after_seconds
    watch = Watch(settings.warm_seconds, settings.stopped_seconds)
    try:
        summary = launch_and_watch(run_options(settings.actors, seconds), run_dir, watch)
    finally:
        watch.resume()
    progress = [row for row in pq.read_table(run_dir / METRICS).to_pylist() if row["kind"] == "progress"]
    before = [row["learner_steps"] for row in progress if row["seconds"] <= watch.stopped_at]
    after = [row["learner_steps_per_second"] for row in progress if row["seconds"] >= watch.resumed_at + 2]
    run = {
        "part": "stopped",
        "role": "the run",
        "stopped_by": summary["stopped_by"],
        "error": summary["error"],
        "survived": summary["stopped_by"] == "max_seconds",
        "stopped_at_seconds": watch.stopped_at,
        "resumed_at_seconds": watch.resumed_at if np.isfinite(watch.resumed_at) else None,
        "learner_steps_when_stopped": max(before, default=0),
        "learner_steps_at_the_end": summary["learner_steps"],
        "learner_steps_per_second_after": float(np.median(after)) if after else None,
    }
    by_process: dict[tuple[str, int], list[Sample]] = {}
    for sample in watch.samples:
        if settings.warm_seconds / 2 <= sample.seconds < seconds:
            by_process.setdefault((sample.role, sample.pid), []).append(sample)
    described = [describe_stopped(role, samples, watch) for (role, _), samples in sorted(by_process.items())]
    return [run, *(row for row in described if row is not None)]


def describe_stopped(role: str, samples: list[Sample], watch: Watch) -> dict[str, Any] | None:
    """Of one process before, during and after; None for one that was not there before and during."""
    before = [sample for sample in samples if sample.seconds <= watch.stopped_at]
    during = [sample for sample in samples if watch.stopped_at < sample.seconds <= watch.resumed_at]
    after = [sample for sample in samples if sample.seconds > watch.resumed_at]
    if not before or not during:
        return None
    highest = max(sample.uss for sample in during)
    return {
        "part": "stopped",
        "role": role,
        "before_mb": before[-1].uss,
        "during_highest_mb": highest,
        "rise_mb": highest - before[-1].uss,
        "anonymous_rise_mb": max(sample.anonymous for sample in during) - before[-1].anonymous,
        "after_mb": after[-1].uss if after else None,
        "seconds": [sample.seconds for sample in samples],
        "uss": [sample.uss for sample in samples],
        "anonymous": [sample.anonymous for sample in samples],
    }


# Tables


def report(rows: list[dict[str, Any]]) -> None:
    """A table for each part that was measured."""
    run = [row for row in rows if row["part"] == "actors"]
    ring = [row for row in rows if row["part"] == "ring"]
    stopped = [row for row in rows if row["part"] == "stopped"]
    if run:
        _report_run(run)
    if ring:
        _report_ring(ring)
    if stopped:
        _report_stopped(stopped)


def _report_run(rows: list[dict[str, Any]]) -> None:
    table = Table(title="a process, MB (a minute: slope [95 %])", box=SIMPLE, padding=(0, 1, 0, 0))
    for column in ("role", "USS", "highest", "a minute", "anonymous", "a minute", "grew", "flat from"):
        table.add_column(column, justify="left" if column == "role" else "right")
    for row in sorted(rows, key=lambda row: str(row["role"])):
        anonymous = row["anonymous"]
        table.add_row(
            row["role"] if row["processes"] == 1 else f"{row['role']} x {row['processes']}",
            f"{row['median_mb']:.1f}",
            f"{row['highest_mb']:.1f}",
            _slope(row["uss"]),
            f"{anonymous['last_mb']:.1f}",
            _slope(anonymous),
            f"{anonymous['last_mb'] - anonymous['first_mb']:+.2f}",
            f"{anonymous['flat_from_seconds']:.0f} s",
        )
    Console().print(table)
    window, full = rows[0]["uss"]["window_seconds"], rows[0]["ring_full_seconds"]
    print(f"grew: anonymous memory of the last {window:.0f} s less that of the first {window:.0f} s after settling")
    print(f"flat from: anonymous memory within {FLAT_MB:g} MB of its last value ever since")
    print("the ring was not full before the end" if full is None else f"the ring was full after {full:.0f} s")
    for row in rows:
        if row["role"] == "actor":
            print(f"an actor: {row['median_mb']:.1f} MB, highest {row['highest_mb']:.1f} (bar: {ACTOR_BAR_MB:g})")


def _slope(growth: dict[str, Any]) -> str:
    low, high = growth["slope_interval"]
    return f"{growth['slope_mb_per_minute']:+.2f}\n[{low:+.2f}, {high:+.2f}]"


def _report_ring(rows: list[dict[str, Any]]) -> None:
    first = rows[0]
    print(
        f"ring of {first['ring_rows']:,} rows: rows x bytes {first['expected_mb']:.1f} MB; added to the USS "
        f"{spread([row['filled_mb'] for row in rows], '.1f')} MB, of which "
        f"{spread([row['allocated_mb'] for row in rows], '.1f')} before the first row; "
        f"ratio {spread([row['ratio'] for row in rows], '.3f')} (bar: {RING_BAR:g})"
    )


def _report_stopped(rows: list[dict[str, Any]]) -> None:
    run, processes = rows[0], rows[1:]
    table = Table(title="USS of every process while the learner was stopped, MB", box=SIMPLE)
    for column in ("role", "before", "highest during", "rise", "after", "rise of anonymous"):
        table.add_column(column, justify="left" if column == "role" else "right")
    for row in processes:
        table.add_row(
            row["role"],
            f"{row['before_mb']:.1f}",
            f"{row['during_highest_mb']:.1f}",
            f"{row['rise_mb']:+.2f}",
            "-" if row["after_mb"] is None else f"{row['after_mb']:.1f}",
            f"{row['anonymous_rise_mb']:+.2f}",
        )
    Console().print(table)
    resumed = "the end" if run["resumed_at_seconds"] is None else f"{run['resumed_at_seconds']:.0f} s"
    print(
        f"learner stopped from {run['stopped_at_seconds']:.0f} s to {resumed}; largest rise of the USS "
        f"{max(row['rise_mb'] for row in processes):.2f} MB, of anonymous memory "
        f"{max(row['anonymous_rise_mb'] for row in processes):.2f} MB"
    )
    print("the run went on to its limit" if run["survived"] else f"ended by {run['stopped_by']}: {run['error']}")
    print(
        f"learner steps: {run['learner_steps_when_stopped']:,} when stopped, {run['learner_steps_at_the_end']:,} "
        "at the end"
    )
