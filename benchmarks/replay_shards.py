"""What do several replay shards cost or bring, and is what they hold sampled as if it were one ring?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from benchmarks.launching import launch, new_folder, spread
from benchmarks.replay_shards_draws import measure_draws
from benchmarks.watching import run_options
from common.config import BadInput
from common.run_files import METRICS

_WARM_UP_LEARNER_STEPS = 1000


@dataclass(frozen=True)
class ReplayShards:
    """Each round: launch.py with every number of shards in turns. Before it: draws from shards of unlike sizes."""

    shards: tuple[int, ...] = (1, 2, 4)
    """Numbers of replay shards; the first is what the others are compared with."""
    rounds: int = 5
    """Times that each is run."""
    seconds: float = 25.0
    """Length of each run of launch.py."""
    actors: int = 8
    """Actor processes."""
    samples_per_insert: float = 32.0
    """Setting of --samples-per-insert."""
    draw_calls: int = 500
    """Sample calls of the chi-square test."""
    runs: Path | None = None
    """Folder for the runs [a temporary one]."""


def measure_replay_shards(settings: ReplayShards) -> list[dict[str, Any]]:
    """One row for each run, with the p-value of its number of shards. Raises BadInput where there is none."""
    if not settings.shards or min(settings.shards) < 1:
        raise BadInput(f"--shards {' '.join(map(str, settings.shards))}: name at least one number of at least 1")
    folder = new_folder(settings.runs)
    draws = {shards: measure_draws(shards, settings.draw_calls) for shards in settings.shards}
    rows = []
    for number in range(settings.rounds):
        for shards in settings.shards:
            run = _run(settings, shards, number, folder / f"run-{number}-shards-{shards}")
            rows.append({"round": number, "shards": shards, **run, **draws[shards]})
            print(
                f"round {number}, {shards} shards: {run['learner_steps_per_second']:,.0f} learner steps/s, "
                f"{run['inserts_per_second']:,.0f} inserts/s",
                flush=True,
            )
    report(rows, settings)
    return rows


def _run(settings: ReplayShards, shards: int, seed: int, run: Path) -> dict[str, float]:
    """From the first progress after 1,000 learner steps with all actors there, to the last."""
    options = ["--replay-shards", str(shards), "--samples-per-insert", str(settings.samples_per_insert)]
    limits = run_options(settings.actors, settings.seconds)
    summary = launch([*options, *limits, "--seed", str(seed)], run)
    moments = [
        row
        for row in pq.read_table(run / METRICS).to_pylist()
        if row["kind"] == "progress"
        and row["learner_steps"] > _WARM_UP_LEARNER_STEPS
        and row["actors_alive"] == settings.actors
    ]
    if len(moments) < 2:
        raise RuntimeError(f"{run}: not every actor came up in time; ask for more --seconds")
    first, last = moments[0], moments[-1]

    def per_second(counter: str) -> float:
        return float((last[counter] - first[counter]) / (last["seconds"] - first["seconds"]))

    return {
        "learner_steps_per_second": per_second("learner_steps"),
        "inserts_per_second": per_second("transitions"),
        "waiting_share": float(np.mean([row["learner_waiting_fraction"] for row in moments[1:]])),
        "samples_per_insert": summary["samples_per_insert"],
    }


def report(rows: list[dict[str, Any]], settings: ReplayShards) -> None:
    """A column for each number of shards; ratios are those of runs of the same round."""
    table = Table(
        title=f"replay shards, median [lowest, highest] of {settings.rounds}", box=SIMPLE, padding=(0, 1, 0, 0)
    )
    table.add_column("shards", no_wrap=True)
    for shards in settings.shards:
        table.add_column(str(shards), justify="right", no_wrap=True)
    columns = [[row for row in rows if row["shards"] == shards] for shards in settings.shards]
    for rate, label in (("learner_steps_per_second", "steps/s"), ("inserts_per_second", "inserts/s")):
        table.add_row(label, *(spread([row[rate] for row in own]) for own in columns))
        ratios = [[row[rate] / one[rate] for row, one in zip(own, columns[0], strict=True)] for own in columns]
        table.add_row(f"  / of {settings.shards[0]}", *(spread(ratio, ".2f") for ratio in ratios))
    waits = [[100 * row["waiting_share"] for row in own] for own in columns]
    table.add_row("waits, %", *(spread(wait, ".1f") for wait in waits))
    realised = [[row["samples_per_insert"] for row in own] for own in columns]
    table.add_row("per insert", *(spread(one, ".1f") for one in realised))
    p_values = [own[0]["p_value"] for own in columns]
    table.add_row("shares, p", *("-" if value is None else f"{value:.3f}" for value in p_values))
    Console().print(table)
    print("steps/s: of the learner; waits: share of its time, asking and waiting for rows")
    print(f"per insert: samples, {settings.samples_per_insert:g} set")
    print("shares: rows sampled from each shard against the shards' sizes, made to differ; chi-square test")
