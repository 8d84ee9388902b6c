"""Does the realised samples per insert come out as set, and is every sync where it should be?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from benchmarks.launching import launch, new_folder


@dataclass(frozen=True)
class SamplesPerInsert:
    """Runs every combination of actors and settings to a number of environment steps."""

    actors: tuple[int, ...] = (1, 2, 8)
    """Numbers of actors."""
    settings: tuple[float, ...] = (1.0, 8.0, 32.0)
    """Values of --samples-per-insert."""
    env_steps: int = 100_000
    """Environment steps of each run."""
    runs: Path | None = None
    """Folder for the runs [a temporary one]."""


def measure_samples_per_insert(settings: SamplesPerInsert) -> list[dict[str, Any]]:
    """One row for each combination."""
    folder = new_folder(settings.runs)
    rows = []
    for actors in settings.actors:
        for setting in settings.settings:
            options = ["--actors", str(actors), "--samples-per-insert", str(setting), "--no-stop-when-solved"]
            limits = ["--max-env-steps", str(settings.env_steps), "--evaluation-interval-learner-steps", "5000"]
            summary = launch([*options, *limits, "--no-dashboard"], folder / f"{actors}-actors-{setting:g}")
            rows.append({"setting": setting, **summary})
            print(f"{actors} actors, {setting:g} set: {summary['samples_per_insert']:.2f}", flush=True)
    report(rows)
    return rows


def report(rows: list[dict[str, Any]]) -> None:
    """Every combination."""
    table = Table(title="samples per insert", box=SIMPLE, padding=(0, 0, 0, 1))
    for column in (
        "actors", "set", "realised", "off by", "transi-\ntions", "learner\nsteps", "syncs", "steps\n/ 100",
        "lag\nmean", "lag\nmax",
    ):  # fmt: skip
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            str(row["actors"]),
            f"{row['setting']:g}",
            f"{row['samples_per_insert']:.2f}",
            f"{100 * (row['samples_per_insert'] / row['setting'] - 1):+.1f} %",
            f"{row['transitions']:,}",
            f"{row['learner_steps']:,}",
            str(row["target_syncs"]),
            str(row["learner_steps"] // 100),
            f"{row['policy_lag_mean']:.0f}",
            str(row["policy_lag_max"]),
        )
    Console().print(table)
