"""What does a run keep in memory, does it grow, and does it stay flat while the learner stands still?

The unique set size (USS) of a process is what its end would give back. A page of a library or of Ray's object store
counts in it while no other process maps that page: where another Ray or torch runs on the machine and ends, the USS of
ours jumps. So beside it stands the anonymous memory, which only the process itself can change. MB are 10**6 bytes.
On Linux.
"""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import psutil
import pyarrow.parquet as pq
from numpy.typing import NDArray
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from scipy.special import stdtrit

from benchmarks.launching import ROOT, new_folder, spread
from common.config import BadInput
from common.rows import pack
from common.run_files import METRICS, SUMMARY
from common.types import Transition
from replay_server.buffer import ReplayBuffer, row_bytes

MB = 10**6
ACTOR_BAR_MB = 130.0
RING_BAR = 1.10  # of rows x bytes
_FLAT_MB = 1.0  # what a series may move and still counts as flat
_CARTPOLE_OBSERVATION = 4
_RING_CHUNK = 500  # rows in an insert while filling
_ROLES = {
    "Actor": "actor",
    "LearnerProcess": "learner",
    "ReplayServer": "replay server",
    "Evaluator": "evaluator",
}
Float64 = NDArray[np.float64]
Processes = list[tuple[str, psutil.Process]]  # role, process


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


# A run as a user starts it, watched from outside


def launch_and_watch(
    options: Sequence[str], run_dir: Path, each_second: Callable[[float, Processes], None]
) -> dict[str, Any]:
    """Runs launch.py and hands `each_second` the seconds since its start and its processes by role.

    Returns the summary, also of a run that ended with an error. Raises RuntimeError where there is none.
    """
    command = [sys.executable, str(ROOT / "launch.py"), *options, "--run-dir", str(run_dir)]
    log = run_dir.parent / f"{run_dir.name}.log"
    with log.open("w") as output, subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT) as process:
        try:
            driver, began, ticks = psutil.Process(process.pid), time.monotonic(), 1
            while not _ended(process, began + ticks - time.monotonic()):
                processes = processes_by_role(driver)
                each_second(time.monotonic() - began, processes)
                ticks += 1
        finally:
            if process.poll() is None:
                process.terminate()
    summary = run_dir / SUMMARY
    if not summary.exists():
        raise RuntimeError(f"{' '.join(command)} exited with {process.returncode}:\n{log.read_text()}")
    read: dict[str, Any] = json.loads(summary.read_text())
    return read


def run_options(actors: int, seconds: float) -> list[str]:
    """Of a run that ends after so many seconds and by nothing else."""
    limits = ["--no-stop-when-solved", "--max-env-steps", str(10**12), "--max-seconds", str(seconds)]
    return ["--actors", str(actors), "--no-dashboard", *limits]


def processes_by_role(driver: psutil.Process) -> Processes:
    """The driver and everything below it; Ray's own go by the name of their program, script or class."""
    found: Processes = []
    with suppress(psutil.NoSuchProcess):  # the driver has just ended
        found.append(("driver", driver))
        for process in driver.children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                found.append((_role(process.cmdline()), process))
    return found


def _role(command: list[str]) -> str:
    """Ray's workers are titled `ray::Class` or `ray::Class.method`; a process that is ending has no command left."""
    if command and command[0].startswith("ray::"):
        name = command[0].removeprefix("ray::").split(".")[0].split("(")[0]
    else:
        scripts = [part for part in command if part.endswith(".py")]
        name = Path([*scripts, *command, "ending"][0]).stem
    return _ROLES.get(name, name)


def _ended(process: subprocess.Popen[bytes], within: float) -> bool:
    try:
        process.wait(timeout=max(0.0, within))
    except subprocess.TimeoutExpired:
        return False
    return True


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


def describe_growth(seconds: Float64, mb: Float64, settle_seconds: float) -> dict[str, Any]:
    """Of one series: slope after settling in MB a minute, what it grew by from then to the end, and until when."""
    settled = seconds >= settle_seconds
    slope, low, high = slope_per_minute(seconds[settled], mb[settled])
    window = min(60.0, (seconds[-1] - settle_seconds) / 3)
    first = float(np.median(mb[settled & (seconds < settle_seconds + window)]))
    last = float(np.median(mb[seconds > seconds[-1] - window]))
    return {
        "mb": mb.tolist(),
        "slope_mb_per_minute": slope,
        "slope_interval": [low, high],
        "first_mb": first,
        "last_mb": last,
        "window_seconds": window,
        "flat_from_seconds": flat_from(seconds, mb),
    }


def slope_per_minute(seconds: Float64, mb: Float64) -> tuple[float, float, float]:
    """Least squares, and its 95 % interval.

    Seconds that follow one another hardly differ, so that n samples count as n (1 - r) / (1 + r), but as 3 at least;
    r is the residuals' correlation from one to the next (Santer et al. 2000, https://doi.org/10.1029/1999JD901105).
    """
    minutes = (seconds - seconds.mean()) / 60
    slope = float(minutes @ mb / (minutes @ minutes))
    residual = mb - mb.mean() - slope * minutes
    squares = float(residual @ residual)
    correlation = max(0.0, float(residual[1:] @ residual[:-1]) / squares) if squares > 0 else 0.0
    count = max(3.0, len(mb) * (1 - correlation) / (1 + correlation))
    half = float(stdtrit(count - 2, 0.975)) * (squares / (count - 2) / float(minutes @ minutes)) ** 0.5
    return slope, slope - half, slope + half


def flat_from(seconds: Float64, mb: Float64) -> float:
    """The second from which the series stays within 1 MB of its last value: until then something grew."""
    away = np.flatnonzero(np.abs(mb - mb[-1]) > _FLAT_MB)
    return float(seconds[away[-1] + 1]) if away.size else float(seconds[0])


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
    print(f"flat from: anonymous memory within {_FLAT_MB:g} MB of its last value ever since")
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
