"""Does it stay solved when training goes on?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table
from tyro.conf import UseAppendAction

from benchmarks.launching import launch, new_folder


@dataclass(frozen=True)
class Stability:
    """Trains past the solve and counts the later looks that hold the threshold."""

    seeds: int = 3
    """Number of seeds."""
    first_seed: int = 0
    """The first of them; the others follow."""
    env_steps: int = 300_000
    """Environment steps of each run."""
    interval: int = 1000
    """Learner steps between looks."""
    option: UseAppendAction[tuple[str, ...]] = ()
    """A further option of launch.py, such as --option=--epsilon-schedule=ladder; repeatable."""
    runs: Path | None = None
    """Folder for the runs [a temporary one]."""


def measure_stability(settings: Stability) -> list[dict[str, Any]]:
    """One row for each seed."""
    folder = new_folder(settings.runs)
    rows = []
    for seed in range(settings.first_seed, settings.first_seed + settings.seeds):
        run = folder / f"seed-{seed}"
        limits = ["--no-stop-when-solved", "--max-env-steps", str(settings.env_steps)]
        looks = ["--evaluation-interval-learner-steps", str(settings.interval)]
        summary = launch(
            ["--actors", "8", "--seed", str(seed), "--no-dashboard", *limits, *looks, *settings.option], run
        )
        rows.append({"seed": seed, "summary": summary, **count_later_looks(run)})
        print(f"seed {seed}: {rows[-1]['held']} of {rows[-1]['later_looks']} later looks held", flush=True)
    report(rows)
    return rows


def count_later_looks(run: Path) -> dict[str, Any]:
    """Of the looks after the solved version: how many, how many at or above 475, and the lowest."""
    looks = [row for row in pq.read_table(run / "metrics.parquet").to_pylist() if row["kind"] != "progress"]
    solved = next((row["learner_steps"] for row in looks if row["solved"]), None)
    later = [
        row["evaluation_return"]
        for row in looks
        if row["kind"] == "look" and solved is not None and row["learner_steps"] > solved
    ]
    return {
        "solved_learner_steps": solved,
        "later_looks": len(later),
        "held": sum(value >= 475 for value in later),
        "lowest": min(later, default=None),
    }


def report(rows: list[dict[str, Any]]) -> None:
    """Every seed."""
    table = Table(title="looks after the first solve, in learner steps")
    for column in ("seed", "solved at", "learner steps", "later looks", ">= 475", "share", "lowest"):
        table.add_column(column, justify="right")
    for row in rows:
        later = row["later_looks"]
        table.add_row(
            str(row["seed"]),
            "no" if row["solved_learner_steps"] is None else f"{row['solved_learner_steps']:,}",
            f"{row['summary']['learner_steps']:,}",
            str(later),
            str(row["held"]),
            f"{row['held'] / later:.2f}" if later else "-",
            f"{row['lowest']:.1f}" if later else "-",
        )
    Console().print(table)
