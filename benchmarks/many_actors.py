"""Do many actors of one environment each start, learn, and end without leaving a process behind? On Linux."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow.parquet as pq
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from tyro.conf import UseAppendAction

from benchmarks.launching import new_folder
from benchmarks.memory_samples import Sample, sample
from benchmarks.watching import Processes, launch_and_watch
from common.run_files import EPISODES, METRICS

GONE_SECONDS = 10.0  # after the end, in which no process may be left
_MEMORY_SECONDS = 3  # between samples: to read the memory of so many processes takes a core some 0.2 s


@dataclass(frozen=True)
class ManyActors:
    """Runs launch.py until it has solved or reached the limit, and watches it from its start until its end."""

    actors: int = 64
    """Actor processes."""
    envs_per_actor: int = 1
    """Environments of each actor."""
    seeds: int = 2
    """Number of runs, one for each seed."""
    first_seed: int = 0
    """The first of them; the others follow."""
    max_seconds: float = 300.0
    """Limit of each run, start included."""
    option: UseAppendAction[tuple[str, ...]] = ()
    """A further option of launch.py, such as --option=--no-stop-when-solved; repeatable."""
    runs: Path | None = None
    """Folder for the runs [a temporary one]."""


class Watch:
    """Keeps every process that there ever was, and samples the memory of all now and then."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self.family: dict[int, psutil.Process] = {}  # by process id
        self._calls = 0

    def __call__(self, seconds: float, processes: Processes) -> None:
        """Called once a second by `launch_and_watch`."""
        self.family.update((process.pid, process) for _, process in processes)
        if self._calls % _MEMORY_SECONDS == 0:
            self.samples.extend(sample(seconds, processes))
        self._calls += 1


def measure_many_actors(settings: ManyActors) -> list[dict[str, Any]]:
    """One row for each run, also for one that ended with an error."""
    folder = new_folder(settings.runs)
    rows = []
    for seed in range(settings.first_seed, settings.first_seed + settings.seeds):
        rows.append(measure_run(settings, seed, folder / f"seed-{seed}"))
        print(f"seed {seed}: {rows[-1]['stopped_by']}, {rows[-1]['process_seconds']:.1f} s", flush=True)
    report(rows)
    return rows


def measure_run(settings: ManyActors, seed: int, run_dir: Path) -> dict[str, Any]:
    """The summary of one run, and what was seen of it from outside."""
    asked = {
        "--actors": settings.actors,
        "--envs-per-actor": settings.envs_per_actor,
        "--seed": seed,
        "--max-seconds": settings.max_seconds,
    }
    options = [str(word) for pair in asked.items() for word in pair]
    watch, load = Watch(), os.getloadavg()[0]
    summary = launch_and_watch(["--no-dashboard", *options, *settings.option], run_dir, watch)
    ended = time.monotonic()
    _, alive = psutil.wait_procs(list(watch.family.values()), timeout=GONE_SECONDS)
    return {
        **summary,
        "envs_per_actor": settings.envs_per_actor,
        "cores": os.cpu_count(),
        "load_before": load,  # runnable processes of others, mean over a minute
        "orphans": len(alive),
        "gone_seconds": None if alive else time.monotonic() - ended,
        **describe_start(run_dir, settings.actors),
        **describe_memory(watch.samples),
    }


def describe_start(run_dir: Path, actors: int) -> dict[str, Any]:
    """When all were there and when all had played an episode, and the rates from the first on; None: never."""
    progress = [row for row in pq.read_table(run_dir / METRICS).to_pylist() if row["kind"] == "progress"]
    complete = [row for row in progress if row["actors_alive"] == actors]
    first_episode: dict[int, float] = {}
    for row in pq.read_table(run_dir / EPISODES, columns=["actor_id", "seconds"]).to_pylist():
        first_episode.setdefault(row["actor_id"], row["seconds"])
    counted = complete[1:]
    elapsed = complete[-1]["seconds"] - complete[0]["seconds"] if counted else None

    def per_second(counter: str) -> float | None:
        return (complete[-1][counter] - complete[0][counter]) / elapsed if elapsed else None

    waiting = [row["learner_waiting_fraction"] for row in counted if row["learner_waiting_fraction"] is not None]
    return {
        "all_running_seconds": complete[0]["seconds"] if complete else None,
        "learner_steps_when_all_ran": complete[0]["learner_steps"] if complete else None,
        "actors_that_played": len(first_episode),
        "all_played_seconds": max(first_episode.values()) if len(first_episode) == actors else None,
        "learner_steps_per_second": per_second("learner_steps"),
        "env_steps_per_second": per_second("env_steps"),
        "learner_waiting_fraction": float(np.mean(waiting)) if waiting else None,
    }


def describe_memory(samples: Sequence[Sample]) -> dict[str, Any]:
    """Of the moment with the most actors, and among those the one at which all processes together had most; MB."""
    moments: dict[float, list[Sample]] = {}
    for one in samples:
        moments.setdefault(one.seconds, []).append(one)
    fullest = max(moments.values(), key=lambda moment: (len(_actors(moment)), sum(one.pss for one in moment)))
    actors = _actors(fullest)
    return {
        "actors_sampled": len(actors),
        "actor_uss_median_mb": float(np.median([one.uss for one in actors])) if actors else None,
        "actor_uss_highest_mb": max((one.uss for one in _actors(samples)), default=None),
        "actor_pss_median_mb": float(np.median([one.pss for one in actors])) if actors else None,
        "actor_pss_highest_mb": max((one.pss for one in _actors(samples)), default=None),
        "processes": len(fullest),
        "all_pss_mb": sum(one.pss for one in fullest),
        "others_pss_mb": {one.role: one.pss for one in fullest if one.role != "actor"},
    }


def _actors(samples: Sequence[Sample]) -> list[Sample]:
    return [one for one in samples if one.role == "actor"]


def report(rows: list[dict[str, Any]]) -> None:
    """A line for each figure, a column for each run."""
    first = rows[0]
    title = f"{first['actors']} actors of {first['envs_per_actor']} on {first['cores']} cores, a column a run"
    table = Table(title=title, box=SIMPLE, title_justify="left")
    table.add_column("")
    for row in rows:
        table.add_column(f"seed {row['seed']}", justify="right")
    for label, show in _FIGURES:
        table.add_row(label, *(show(row) for row in rows))
    Console().print(table)


def _number(name: str, form: str, unit: str = "") -> Callable[[dict[str, Any]], str]:
    return lambda row: "-" if row[name] is None else f"{row[name]:{form}}{unit}"


_FIGURES: list[tuple[str, Callable[[dict[str, Any]], str]]] = [
    ("load of the machine before", _number("load_before", ".1f")),
    ("first learner step", _number("seconds_to_first_learner_step", ".1f", " s")),
    ("all actors running", _number("all_running_seconds", ".1f", " s")),
    ("  at learner step", _number("learner_steps_when_all_ran", ",")),
    ("every actor has played an episode", _number("all_played_seconds", ".1f", " s")),
    ("solved", _number("seconds_to_solve", ".1f", " s")),
    ("  at learner step", _number("solved_learner_steps", ",")),
    ("  at environment step", _number("solved_env_steps", ",")),
    ("learner steps/s, all actors running", _number("learner_steps_per_second", ",.0f")),
    ("environment steps/s", _number("env_steps_per_second", ",.0f")),
    ("learner's time for asking and waiting", _number("learner_waiting_fraction", ".0%")),
    ("memory: actors sampled", _number("actors_sampled", "d")),
    ("  USS of an actor, median", _number("actor_uss_median_mb", ".1f", " MB")),
    ("  highest", _number("actor_uss_highest_mb", ".1f", " MB")),
    ("  PSS of an actor, median", _number("actor_pss_median_mb", ".1f", " MB")),
    ("  highest", _number("actor_pss_highest_mb", ".1f", " MB")),
    ("  PSS of all processes together", _number("all_pss_mb", ",.0f", " MB")),
    ("  processes", _number("processes", "d")),
    ("start to exit", _number("process_seconds", ".1f", " s")),
    ("exit code", _number("exit_code", "d")),
    (f"processes left after {GONE_SECONDS:g} s", _number("orphans", "d")),
    ("last one gone after", _number("gone_seconds", ".1f", " s")),
]
