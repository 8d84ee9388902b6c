"""Part of `memory`: does every process stay flat while the learner stands still?"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow.parquet as pq
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from benchmarks.memory_samples import Sample, sample
from benchmarks.watching import Processes, launch_and_watch, run_options
from common.run_files import METRICS


def measure_stopped(
    actors: int, warm_seconds: float, stopped_seconds: float, after_seconds: float, run_dir: Path
) -> list[dict[str, Any]]:
    """One row a process, and one of the run: a wait may outlast its deadline, which ends the run with an error."""
    seconds = warm_seconds + stopped_seconds + after_seconds
    watch = Watch(warm_seconds, stopped_seconds)
    try:
        summary = launch_and_watch(run_options(actors, seconds), run_dir, watch)
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
    for one in watch.samples:
        if warm_seconds / 2 <= one.seconds < seconds:
            by_process.setdefault((one.role, one.pid), []).append(one)
    described = [describe_stopped(role, samples, watch) for (role, _), samples in sorted(by_process.items())]
    rows = [run, *(row for row in described if row is not None)]
    report(rows)
    return rows


def describe_stopped(role: str, samples: list[Sample], watch: Watch) -> dict[str, Any] | None:
    """Of one process before, during and after; None for one that was not there before and during."""
    before = [one for one in samples if one.seconds <= watch.stopped_at]
    during = [one for one in samples if watch.stopped_at < one.seconds <= watch.resumed_at]
    after = [one for one in samples if one.seconds > watch.resumed_at]
    if not before or not during:
        return None
    highest = max(one.uss for one in during)
    return {
        "part": "stopped",
        "role": role,
        "before_mb": before[-1].uss,
        "during_highest_mb": highest,
        "rise_mb": highest - before[-1].uss,
        "anonymous_rise_mb": max(one.anonymous for one in during) - before[-1].anonymous,
        "after_mb": after[-1].uss if after else None,
        "seconds": [one.seconds for one in samples],
        "uss": [one.uss for one in samples],
        "anonymous": [one.anonymous for one in samples],
    }


class Watch:
    """Samples every process once a second, and keeps the learner stopped for a while."""

    def __init__(self, stop_after: float, stopped_seconds: float) -> None:
        """Both in seconds; `stop_after` counts from the start of the run."""
        self._stop_after = stop_after
        self._stopped_seconds = stopped_seconds
        self._learner: psutil.Process | None = None
        self.samples: list[Sample] = []
        self.stopped_at = self.resumed_at = float("inf")  # seconds since the start

    def __call__(self, seconds: float, processes: Processes) -> None:
        """Called once a second by `launch_and_watch`."""
        self.samples.extend(sample(seconds, processes))
        if seconds >= self._stop_after and self._learner is None:
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


def report(rows: list[dict[str, Any]]) -> None:
    """A table of the processes, and how the run went on."""
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
