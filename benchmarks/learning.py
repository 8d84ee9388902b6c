"""How fast does the learner learn beside its actors, against a textbook step in a process of its own?"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow.parquet as pq
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from benchmarks.launching import ROOT, new_folder, spread
from common.time_use import ACTIVITIES, column

_WARM_UP_LEARNER_STEPS = 1000


@dataclass(frozen=True)
class Learning:
    """Each round: the textbook step alone, our update alone, then launch.py with its actors."""

    rounds: int = 5
    """Times that each is measured."""
    seconds: float = 25.0
    """Length of each run of launch.py."""
    alone_seconds: float = 4.0
    """Length of each measurement in a process of its own."""
    batch_size: int = 128
    """Transitions in one learner step."""
    actors: int = 8
    """Actor processes beside the learner."""
    runs: Path | None = None
    """Folder for the runs [a temporary one]."""


def measure_learning(settings: Learning) -> list[dict[str, Any]]:
    """One row for each round."""
    folder = new_folder(settings.runs)
    rows = []
    for number in range(settings.rounds):
        alone = {
            kind: _alone(f"benchmarks.{module}", settings)
            for kind, module in (("textbook", "textbook_step"), ("update", "update_alone"))
        }
        system = _in_the_system(settings, folder / f"run-{number}", number)
        rows.append({"round": number, **{f"{kind}_steps_per_second": rate for kind, rate in alone.items()}, **system})
        print(
            f"round {number}: textbook {alone['textbook']:,.0f}, our update alone {alone['update']:,.0f}, "
            f"in the system {system['learner_steps_per_second']:,.0f} learner steps/s",
            flush=True,
        )
    report(rows)
    return rows


def _alone(module: str, settings: Learning) -> float:
    command = [sys.executable, "-m", module, str(settings.batch_size), str(settings.alone_seconds)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return float(done.stdout)


def _in_the_system(settings: Learning, run: Path, seed: int) -> dict[str, float]:
    """From the first progress after 1,000 learner steps with all actors there, to the last; actors by psutil."""
    options = ["--actors", str(settings.actors), "--batch-size", str(settings.batch_size), "--seed", str(seed)]
    limits = ["--no-stop-when-solved", "--max-seconds", str(settings.seconds), "--no-dashboard"]
    command = [sys.executable, str(ROOT / "launch.py"), *options, *limits, "--run-dir", str(run)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        cpu: list[tuple[float, float]] = []  # seconds of the run, CPU seconds of all actors
        for line in process.stdout:  # a progress line comes after 2, 4, 8 ... s
            if "env steps (" in line:
                cpu.append((float(line.split(" s |")[0]), _actors_cpu_seconds(process.pid)))
    if process.returncode != 0 or len(cpu) < 2:
        raise RuntimeError(f"{' '.join(command)} exited with {process.returncode} after {len(cpu)} progress lines")
    table = pq.read_table(run / "metrics.parquet").to_pylist()
    moments = [
        row
        for row in table
        if row["kind"] == "progress"
        and row["learner_steps"] > _WARM_UP_LEARNER_STEPS
        and row["actors_alive"] == settings.actors
    ]
    if len(moments) < 2:
        raise RuntimeError(f"{run}: not every actor came up in time; ask for more --seconds")
    first, last = moments[0], moments[-1]
    spent = {
        activity: last[column("learner", activity)] - first[column("learner", activity)]
        for activity in ACTIVITIES["learner"]
    }
    syncs = last["target_syncs"] - first["target_syncs"]
    return {
        "learner_steps_per_second": (last["learner_steps"] - first["learner_steps"])
        / (last["seconds"] - first["seconds"]),
        "waiting_share": spent["sampling"] / sum(spent.values()),
        "broadcasting_share": spent["broadcasting"] / sum(spent.values()),
        "broadcasting_microseconds": 1e6 * spent["broadcasting"] / syncs,
        "params_delay_median_seconds": last["params_delay_median_seconds"],
        "params_delay_p99_seconds": last["params_delay_p99_seconds"],
        "actors_cores": (cpu[-1][1] - cpu[-2][1]) / (cpu[-1][0] - cpu[-2][0]),
    }


def _actors_cpu_seconds(launcher: int) -> float:
    processes = psutil.Process(launcher).children(recursive=True)
    times = [process.cpu_times() for process in processes if process.name().startswith("ray::actor-")]
    return float(sum(used.user + used.system for used in times))


def report(rows: list[dict[str, Any]]) -> None:
    """Rates, ratios and shares with their bars."""
    table = Table(title=f"the learner, median [lowest, highest] of {len(rows)}", box=SIMPLE)
    for name in ("what", "measured", "bar"):
        table.add_column(name, justify="left" if name == "what" else "right")
    ratios = [row["learner_steps_per_second"] / row["textbook_steps_per_second"] for row in rows]
    of_alone = [row["learner_steps_per_second"] / row["update_steps_per_second"] for row in rows]
    for what, values, form, bar in (
        ("textbook step alone, learner steps/s", [row["textbook_steps_per_second"] for row in rows], ",.0f", ""),
        ("our update alone, learner steps/s", [row["update_steps_per_second"] for row in rows], ",.0f", ""),
        ("in the system, learner steps/s", [row["learner_steps_per_second"] for row in rows], ",.0f", ""),
        ("in the system / textbook", ratios, ".2f", "1.0, aim for 1.5"),
        ("in the system / our update alone", of_alone, ".2f", ""),
        ("time asking and waiting for rows, %", [100 * row["waiting_share"] for row in rows], ".1f", "8, aim for 3"),
        ("time publishing params, %", [100 * row["broadcasting_share"] for row in rows], ".2f", "2"),
        ("a sync, microseconds", [row["broadcasting_microseconds"] for row in rows], ",.0f", ""),
        (
            "from publication to the last actor acting with them, ms, p50",
            [1e3 * row["params_delay_median_seconds"] for row in rows],
            ".0f",
            "",
        ),
        ("the same, p99", [1e3 * row["params_delay_p99_seconds"] for row in rows], ".0f", ""),
        ("actors together, cores", [row["actors_cores"] for row in rows], ".2f", "0.4"),
    ):
        table.add_row(what, spread(values, form), bar)
    Console().print(table)
    print(f"every round, in the system / textbook: {', '.join(f'{ratio:.2f}' for ratio in np.round(ratios, 2))}")
