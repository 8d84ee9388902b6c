"""How long from the start of the process to the first learner step, and from "solved" to the end of the process?"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from benchmarks.launching import ROOT, launch, new_folder, spread

# What any program of this kind must do, one after the other: with the Ray settings that launch.py has.
_BARE = """
import sys
from driver import ray_environment, resources
ray_environment.prepare(embedded=True)
import ray
ray.init(address="local", num_cpus=11, include_dashboard=sys.argv[1] == "dashboard", log_to_driver=False,
         logging_level="ERROR", object_store_memory=resources.OBJECT_STORE_BYTES)
import torch
print("ready", flush=True)
"""
_BAR_START, _BAR_END = 1.5, 2.5


@dataclass(frozen=True)
class Startup:
    """Each round: a bare script and launch.py, without and with the dashboard."""

    rounds: int = 5
    """Times that each is started; each with another seed."""
    runs: Path | None = None
    """Folder for the runs [a temporary one]."""


def measure_startup(settings: Startup) -> list[dict[str, Any]]:
    """One row for each start of launch.py, with the bare script's time beside it."""
    folder = new_folder(settings.runs)
    rows = []
    for number in range(settings.rounds):
        for dashboard in ("no-dashboard", "dashboard"):
            bare = _bare_seconds(dashboard)
            run = folder / f"{dashboard}-{number}"
            summary = launch(["--actors", "8", "--seed", str(number), f"--{dashboard}"], run)
            first_step = json.loads((run / "summary.json").read_text())["seconds_to_first_learner_step"]
            rows.append(
                {
                    "dashboard": dashboard == "dashboard",
                    "bare_seconds": bare,
                    "first_learner_step_seconds": first_step,
                    "ratio": first_step / bare,
                    "solved_to_exit_seconds": (
                        summary["process_seconds"] - summary["seconds_to_solve"] if summary["solved"] else None
                    ),
                }
            )
            print(f"{dashboard} {number}: bare {bare:.2f} s, first learner step {first_step:.2f} s", flush=True)
    report(rows)
    return rows


def _bare_seconds(dashboard: str) -> float:
    """From the start of the process until Ray and torch are there; its own end is not counted."""
    began = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-c", _BARE, dashboard], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise RuntimeError("the bare script did not get ready")
        return time.monotonic() - began


def report(rows: list[dict[str, Any]]) -> None:
    """Without and with the dashboard."""
    table = Table(title="start and end, median [lowest, highest]", box=SIMPLE)
    for name in ("dashboard", "bare script, s", "first learner step, s", "ratio", "bar", "solved to exit, s", "bar, s"):
        table.add_column(name, justify="right")
    for dashboard in (False, True):
        group = [row for row in rows if row["dashboard"] == dashboard]
        table.add_row(
            "on" if dashboard else "off",
            spread([row["bare_seconds"] for row in group], ".2f"),
            spread([row["first_learner_step_seconds"] for row in group], ".2f"),
            f"{np.median([row['ratio'] for row in group]):.2f}",
            f"{_BAR_START}",
            spread([row["solved_to_exit_seconds"] for row in group], ".2f"),
            f"{_BAR_END}",
        )
    Console().print(table)
