"""Is this build as fast as an earlier one? Both in turns on one machine: the start, the solve, the end, the learner."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks.launching import ROOT, new_folder, spread
from common.config import BadInput

_WARM_UP_LEARNER_STEPS = 1000
_FIGURES = (
    ("seconds_to_first_learner_step", "process start to first learner step, s", "less"),
    ("seconds_to_solve", "process start to solved, s", "less"),
    ("solved_to_exit_seconds", "solved to exit, s", "less"),
    ("learner_steps_per_second", "learner steps/s beside 8 actors", "more"),
)


@dataclass(frozen=True)
class Builds:
    """Each round: a cold solve and a run of fixed length, of either build, with the same seed."""

    before: Path
    """Folder of the earlier build: a checkout, as `git worktree add FOLDER COMMIT` makes it."""
    rounds: int = 8
    """Cold solves of each; seeds --first-seed, + 1, ..."""
    learning_rounds: int = 4
    """Runs of fixed length of each."""
    seconds: float = 25.0
    """Length of these."""
    first_seed: int = 0
    """Of the first round."""
    runs: Path | None = None
    """Folder for the runs [a temporary one]."""


def measure_builds(settings: Builds) -> list[dict[str, Any]]:
    """One row for each run."""
    builds = {"before": settings.before.resolve(), "after": ROOT}
    if not (builds["before"] / "launch.py").exists():
        raise BadInput(f"--before {settings.before}: has no launch.py; name a checkout of the earlier build")
    folder = new_folder(settings.runs)
    rows: list[dict[str, Any]] = []
    for number in range(settings.rounds + settings.learning_rounds):
        learning = number >= settings.rounds
        limits = ["--no-stop-when-solved", "--max-seconds", str(settings.seconds)] if learning else []
        seed = settings.first_seed + number
        # Who comes first has the emptier machine or the colder caches: each does in every other round.
        for name in ("before", "after") if number % 2 else ("after", "before"):
            run = folder / f"{name}-{number}"
            figures = _run(builds[name], ["--seed", str(seed), *limits], run)
            known = _learning(run) if learning else figures
            rows.append({"build": name, "seed": seed, **known})
            shown = ", ".join(f"{value:.2f} {what}" for what, value in known.items() if value is not None)
            print(f"seed {seed} {name}: {shown}", flush=True)
    report(rows)
    return rows


def _run(build: Path, options: Sequence[str], run: Path) -> dict[str, float | None]:
    command = [sys.executable, str(build / "launch.py"), "--no-dashboard", *options, "--run-dir", str(run)]
    began = time.monotonic()
    done = subprocess.run(command, cwd=build, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - began
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} exited with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    summary = json.loads((run / "summary.json").read_text())
    return {
        "seconds_to_first_learner_step": summary["seconds_to_first_learner_step"],
        "seconds_to_solve": summary["seconds_to_solve"],
        "solved_to_exit_seconds": seconds - summary["seconds_to_solve"] if summary["solved"] else None,
    }


def _learning(run: Path) -> dict[str, float | None]:
    """From the first moment after 1,000 learner steps to the last."""
    table = pq.read_table(run / "metrics.parquet").to_pylist()
    moments = [row for row in table if row["kind"] == "progress" and row["learner_steps"] > _WARM_UP_LEARNER_STEPS]
    steps = moments[-1]["learner_steps"] - moments[0]["learner_steps"]
    return {"learner_steps_per_second": steps / (moments[-1]["seconds"] - moments[0]["seconds"])}


def report(rows: list[dict[str, Any]]) -> None:
    """Medians with their spread, after / before, and the same round by round."""
    table = Table(title=escape("two builds in turns, median [lowest, highest]"), box=SIMPLE)
    for name in ("what", "before", "after", "after / before", "rounds: median of after / before"):
        table.add_column(name, justify="left" if name == "what" else "right")
    for key, what, better in _FIGURES:
        sides = {
            build: {row["seed"]: row[key] for row in rows if row["build"] == build and row.get(key) is not None}
            for build in ("before", "after")
        }
        both = sorted(set(sides["before"]) & set(sides["after"]))
        if not both:
            continue
        medians = [float(np.median(list(side.values()))) for side in sides.values()]
        ratios = [sides["after"][seed] / sides["before"][seed] for seed in both]
        table.add_row(
            f"{what} ({better} is better)",
            spread(list(sides["before"].values()), ",.2f"),
            spread(list(sides["after"].values()), ",.2f"),
            f"{medians[1] / medians[0]:.3f}",
            spread(ratios, ".3f"),
        )
    Console(width=160).print(table)
