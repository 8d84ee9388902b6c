"""Is the ring as fast as a replay buffer in C++, and how much of Ray's speed do sampled replies reach?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from benchmarks.launching import spread
from benchmarks.replay_core_ring import measure_ring
from benchmarks.replay_core_through_ray import measure_through_ray


@dataclass(frozen=True)
class ReplayCore:
    """Samples and inserts CartPole rows beside cpprb, and reads sampled replies through Ray beside a bare message."""

    capacities: tuple[int, ...] = (100_000, 1_000_000)
    """Transitions in the full rings."""
    sample_rows: tuple[int, ...] = (128, 2048)
    """Transitions in a sample call."""
    insert_rows: tuple[int, ...] = (64, 1024)
    """Transitions in an inserted chunk."""
    repetitions: int = 7
    """Repetitions, both sides in turns."""
    seconds: float = 0.2
    """Seconds of each side in a repetition, at least."""
    through_ray: bool = True
    """Measure through Ray too."""
    ray_capacity: int = 50_000
    """Transitions in the replay server's full ring."""
    ray_seconds: float = 1.0
    """Seconds of each side in a repetition through Ray, at least."""


def measure_replay_core(settings: ReplayCore) -> list[dict[str, Any]]:
    """One row for each operation, capacity and number of rows, and one for the way through Ray.

    `ours`, `theirs` and `ratio` have a value for each repetition. Raises BadInput where cpprb is not installed.
    """
    rows = [
        row
        for capacity in settings.capacities
        for row in measure_ring(
            capacity, settings.sample_rows, settings.insert_rows, settings.repetitions, settings.seconds
        )
    ]
    if settings.through_ray:
        rows.append(measure_through_ray(settings.ray_capacity, settings.repetitions, settings.ray_seconds))
    report(rows)
    return rows


def report(rows: list[dict[str, Any]]) -> None:
    """A table for each ring in one process, then the way through Ray."""
    for capacity in dict.fromkeys(row["capacity"] for row in rows if row["operation"] != "read"):
        title = f"ring of {capacity:,}: million rows/s, median [lowest, highest]"
        table = Table(title=title, box=SIMPLE, pad_edge=False)
        for column in ("rows a call", "ours", "cpprb", "ratio", "bar"):
            table.add_column(column, justify="right")
        for row in rows:
            if row["operation"] != "read" and row["capacity"] == capacity:
                table.add_row(f"{row['operation']} {row['rows_per_call']:,}", *_sides_and_ratio(row))
        Console().print(table)
    for row in rows:
        if row["operation"] == "read":
            ours, theirs, ratio, bar = _sides_and_ratio(row)
            rate = spread([value / 1e6 for value in row["ours_rows_per_second"]], ".3g")
            print(f"through Ray, {row['rows_per_call']:,} rows = {row['bytes_per_call']:,} bytes in a reply:")
            print(f"  sampled replies: {ours} MB/s, {rate} million rows/s")
            print(f"  ray.get of a message of the same bytes: {theirs} MB/s")
            print(f"  ratio: {ratio}, bar {bar}")


def _sides_and_ratio(row: dict[str, Any]) -> tuple[str, str, str, str]:
    """In millions, as text."""
    ours, theirs = ([value / 1e6 for value in row[side]] for side in ("ours", "theirs"))
    bar = "-" if row["bar"] is None else f"{row['bar']:g}"
    return spread(ours, ".3g"), spread(theirs, ".3g"), spread(row["ratio"], ".2f"), bar
