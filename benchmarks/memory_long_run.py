"""Part of `memory`: what every role of a long run keeps, and whether it grows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from benchmarks.growth import FLAT_MB, describe_growth
from benchmarks.memory_samples import Sample, sample
from benchmarks.watching import Processes, launch_and_watch, run_options
from common.run_files import METRICS

ACTOR_BAR_MB = 130.0


def measure_long_run(actors: int, seconds: float, settle_seconds: float, run_dir: Path) -> list[dict[str, Any]]:
    """One row a role, of samples before the run ends: its end loads torch and matplotlib into the driver."""
    samples: list[Sample] = []

    def watch(now: float, processes: Processes) -> None:
        samples.extend(sample(now, processes))

    summary = launch_and_watch(run_options(actors, seconds), run_dir, watch)
    if summary["error"]:
        raise RuntimeError(f"the run in {run_dir} failed: {summary['error']}")
    by_role: dict[str, list[Sample]] = {}
    for one in samples:
        if one.seconds < seconds:
            by_role.setdefault(one.role, []).append(one)
    if "actor" not in by_role or by_role["actor"][0].seconds >= settle_seconds:
        raise RuntimeError(f"no actor in the first {settle_seconds:g} s; ask for more --settle-seconds")
    last = max(of_role[-1].seconds for of_role in by_role.values())
    ring_full = ring_full_seconds(run_dir)
    rows = [
        {"part": "actors", "role": role, "ring_full_seconds": ring_full, **describe_role(of_role, settle_seconds)}
        for role, of_role in by_role.items()
        if of_role[-1].seconds == last and of_role[0].seconds < settle_seconds  # not a helper that comes late
    ]
    report(rows)
    return rows


def describe_role(samples: list[Sample], settle_seconds: float) -> dict[str, Any]:
    """Level and growth of one role, in MB a process."""
    moments = sorted({sample.seconds for sample in samples})
    at = {moment: [one for one in samples if one.seconds == moment] for moment in moments}
    settled = [one.uss for one in samples if one.seconds >= settle_seconds]
    seconds = np.array(moments)
    uss = np.array([np.mean([one.uss for one in at[moment]]) for moment in moments])
    anonymous = np.array([np.mean([one.anonymous for one in at[moment]]) for moment in moments])
    return {
        "processes": len(at[moments[-1]]),
        "median_mb": float(np.median(settled)),
        "highest_mb": max(one.uss for one in samples),
        "seconds": moments,
        "uss": describe_growth(seconds, uss, settle_seconds),
        "anonymous": describe_growth(seconds, anonymous, settle_seconds),
    }


def ring_full_seconds(run_dir: Path) -> float | None:
    """When the run's ring was full: its pages are touched for the first time until then."""
    progress = [row for row in pq.read_table(run_dir / METRICS).to_pylist() if row["kind"] == "progress"]
    return next((row["seconds"] for row in progress if row["replay_fill"] >= 1), None)


def report(rows: list[dict[str, Any]]) -> None:
    """A table, and what its columns mean."""
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
