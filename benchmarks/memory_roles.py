"""What every role keeps and whether it grows, from samples of its processes."""

from __future__ import annotations

from typing import Any

import numpy as np
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from benchmarks.growth import FLAT_MB, describe_growth
from benchmarks.memory_samples import Sample


def describe_roles(samples: list[Sample], settle_seconds: float) -> list[dict[str, Any]]:
    """One row a role that was there from settling to the end; not helpers that come late or go early."""
    by_role: dict[str, list[Sample]] = {}
    for one in samples:
        by_role.setdefault(one.role, []).append(one)
    last = max(of_role[-1].seconds for of_role in by_role.values())
    return [
        {"role": role, **_describe(of_role, settle_seconds)}
        for role, of_role in by_role.items()
        if of_role[-1].seconds == last and of_role[0].seconds < settle_seconds
    ]


def _describe(samples: list[Sample], settle_seconds: float) -> dict[str, Any]:
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


def report_roles(rows: list[dict[str, Any]], of: str) -> None:
    """A table, and what its columns mean. `of`: what the processes belong to."""
    table = Table(title=f"{of}: a process, MB (a minute: slope [95 %])", box=SIMPLE, padding=(0, 1, 0, 0))
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
    window = rows[0]["uss"]["window_seconds"]
    print(f"grew: anonymous memory of the last {window:.0f} s less that of the first {window:.0f} s after settling")
    print(f"flat from: anonymous memory within {FLAT_MB:g} MB of its last value ever since")


def _slope(growth: dict[str, Any]) -> str:
    low, high = growth["slope_interval"]
    return f"{growth['slope_mb_per_minute']:+.2f}\n[{low:+.2f}, {high:+.2f}]"
