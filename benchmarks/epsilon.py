"""Is epsilon at a given number of global environment steps the same for any number of actors?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from benchmarks.launching import launch, new_folder

_POINTS = (2_000, 4_000, 8_000, 16_000)


@dataclass(frozen=True)
class Epsilon:
    """Reads from the episodes which epsilon the actors acted with, against the count when their chunk was inserted."""

    actors: tuple[int, ...] = (1, 2, 8)
    """Numbers of actors."""
    decay: float = 8000.0
    """Environment steps for a decay by 1/e."""
    runs: Path | None = None
    """Folder for the runs [a temporary one]."""


def measure_epsilon(settings: Epsilon) -> list[dict[str, Any]]:
    """One row for each number of actors."""
    folder = new_folder(settings.runs)
    rows = []
    for actors in settings.actors:
        run = folder / f"{actors}-actors"
        schedule = ["--epsilon-schedule", "exponential", "--epsilon-decay-env-steps", str(settings.decay)]
        limits = ["--max-env-steps", str(2 * _POINTS[-1]), "--no-stop-when-solved", "--no-dashboard"]
        launch(["--actors", str(actors), *schedule, *limits], run)
        episodes = pq.read_table(run / "episodes.parquet")
        steps = episodes["env_steps"].to_numpy().astype(np.float64)
        order = np.argsort(steps, kind="stable")
        acted = np.interp(_POINTS, steps[order], episodes["epsilon"].to_numpy()[order])
        rows.append({"actors": actors, "epsilon": [float(value) for value in acted]})
    report(rows)
    return rows


def report(rows: list[dict[str, Any]]) -> None:
    """One line for each number of actors."""
    table = Table(title="epsilon acted with, at global environment steps")
    for column in ("actors", *(f"{point:,}" for point in _POINTS)):
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(str(row["actors"]), *(f"{value:.3f}" for value in row["epsilon"]))
    Console().print(table)
