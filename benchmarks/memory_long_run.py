"""Part of `memory`: what every role of a long run keeps, and whether it grows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from benchmarks.memory_roles import describe_roles, report_roles
from benchmarks.memory_samples import Sample, sample
from benchmarks.watching import Processes, launch_and_watch, run_options
from common.run_files import METRICS

ACTOR_BAR_MB = 130.0


def measure_long_run(actors: int, seconds: float, settle_seconds: float, run_dir: Path) -> list[dict[str, Any]]:
    """One row a role, of samples before the run ends: its end loads torch and matplotlib into the driver."""
    samples: list[Sample] = []

    def watch(now: float, processes: Processes) -> None:
        if now < seconds:
            samples.extend(sample(now, processes))

    summary = launch_and_watch(run_options(actors, seconds), run_dir, watch)
    if summary["error"]:
        raise RuntimeError(f"the run in {run_dir} failed: {summary['error']}")
    full = ring_full_seconds(run_dir)
    rows = [
        {"part": "actors", "ring_full_seconds": full, **described}
        for described in describe_roles(samples, settle_seconds)
    ]
    levels = [row for row in rows if row["role"] == "actor"]
    if not levels:
        raise RuntimeError(f"no actor in the first {settle_seconds:g} s; ask for more --settle-seconds")
    report_roles(rows, "a run")
    print("the ring was not full before the end" if full is None else f"the ring was full after {full:.0f} s")
    median, highest = levels[0]["median_mb"], levels[0]["highest_mb"]
    print(f"an actor: {median:.1f} MB, highest {highest:.1f} (bar: {ACTOR_BAR_MB:g})")
    return rows


def ring_full_seconds(run_dir: Path) -> float | None:
    """When the run's ring was full: its pages are touched for the first time until then."""
    progress = [row for row in pq.read_table(run_dir / METRICS).to_pylist() if row["kind"] == "progress"]
    return next((row["seconds"] for row in progress if row["replay_fill"] >= 1), None)
