"""How do the rates and the CPU time of each role change with actors, environments, batch and network?"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil
import pyarrow.parquet as pq
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from analysis.figures import new_figure, save
from benchmarks.launching import new_folder, spread
from benchmarks.watching import Processes, launch_and_watch, run_options
from common.config import ActorConfig, BadInput
from common.run_files import METRICS

CURVES = {  # option of a point -> what its axis says
    "actors": "actor processes",
    "envs_per_actor": "environments per actor",
    "batch_size": "batch, transitions",
    "hidden": "units in each of two hidden layers",
}
FOR_THE_MODEL = {
    "samples_per_insert": "samples per insert",
    "chunk_rows": "transitions in a chunk",
}
PARTS = ("learner", "replay server", "actors", "others")  # others: evaluator, driver and Ray's own processes
_PART_OF_ROLE = {"learner": "learner", "replay server": "replay server", "actor": "actors"}
_SECONDS_AN_ACTOR = 1.0  # by which each actor's process lengthens the start on 2 cores
_FEWEST_ROWS = 3
_NO_LOOKS = 10**9  # learner steps between them


@dataclass(frozen=True)
class Scaling:
    """Short runs of launch.py: one setting moves, the others keep their defaults. Every point once in each round."""

    actors: tuple[int, ...] = (1, 2, 4, 8, 16)
    """Actor processes."""
    envs_per_actor: tuple[int, ...] = (1, 4, 12, 64, 256)
    """Environments of each actor."""
    batch_size: tuple[int, ...] = (32, 64, 128, 256, 512, 1024)
    """Transitions in a learner step."""
    hidden: tuple[int, ...] = (64, 128, 256, 512, 1024)
    """Units in each of two hidden layers."""
    samples_per_insert: tuple[float, ...] = (4.0, 128.0)
    """Not drawn; tells the cost model an insert from a sample."""
    chunk_rows: tuple[int, ...] = (32, 640)
    """Not drawn; tells the cost model a call from a row."""
    seconds: float = 16.0
    """Length of each run, start included; a second longer for each actor."""
    settle_seconds: float = 3.0
    """Seconds that are not counted once the learner learns and every actor plays."""
    repeats: int = 3
    """Rounds over all points."""
    picture: Path | None = None
    """PNG file for the curves [none]."""
    runs: Path | None = None
    """Folder for the runs [a temporary one]."""


class Point(NamedTuple):
    """The settings that move."""

    actors: int = 8
    envs_per_actor: int = 12
    batch_size: int = 128  # transitions
    hidden: int = 128  # units in each of two layers
    samples_per_insert: float = 32.0
    chunk_rows: int = ActorConfig().rows_per_chunk  # transitions

    def options(self) -> list[str]:
        """Of launch.py, but for --actors."""
        options = ["--envs-per-actor", self.envs_per_actor, "--batch-size", self.batch_size]
        options += ["--hidden", self.hidden, self.hidden, "--samples-per-insert", self.samples_per_insert]
        return [str(option) for option in [*options, "--chunk-rows", self.chunk_rows]]


def measure_scaling(settings: Scaling) -> list[dict[str, Any]]:
    """One row for each run. Raises BadInput before the first where the picture could not be written."""
    if settings.picture is not None and (settings.picture.suffix != ".png" or not settings.picture.parent.is_dir()):
        raise BadInput(f"--picture {settings.picture}: name a .png file in a folder that exists")
    folder = new_folder(settings.runs)
    points = points_and_curves(settings)
    rows = []
    for repetition in range(settings.repeats):
        for number, (point, curves) in enumerate(points.items()):
            row = measure_point(point, settings, folder / f"round-{repetition}-point-{number}")
            rows.append({"curves": curves, "repetition": repetition, **point._asdict(), **row})
            print(
                f"{point}: {row['learner_steps_per_second']:,.0f} learner steps/s, "
                f"{row['env_steps_per_second']:,.0f} environment steps/s",
                flush=True,
            )
    report(rows)
    if settings.picture is not None:
        draw(rows, settings.picture)
    return rows


def points_and_curves(settings: Scaling) -> dict[Point, list[str]]:
    """Every point once, with the curves that it is on."""
    points: dict[Point, list[str]] = {}
    for curve in [*CURVES, *FOR_THE_MODEL]:
        for value in getattr(settings, curve):
            point = Point()._replace(**{curve: value})
            if curve in ("actors", "envs_per_actor"):  # these decide how large a chunk is
                point = point._replace(chunk_rows=ActorConfig(**{curve: value}).rows_per_chunk)
            points.setdefault(point, []).append(curve)
    return points


def measure_point(point: Point, settings: Scaling, run_dir: Path) -> dict[str, Any]:
    """Rates and CPU time of one run. Where it started too slowly to count anything, another one of twice the length."""
    seconds = settings.seconds + _SECONDS_AN_ACTOR * point.actors
    watch, counted = run_point(point, seconds, settings.settle_seconds, run_dir)
    if len(counted) < _FEWEST_ROWS:
        print(f"{point}: only {len(counted)} seconds to count after a slow start; again", flush=True)
        watch, counted = run_point(
            point, 2 * seconds, settings.settle_seconds, run_dir.with_name(f"{run_dir.name}-again")
        )
    if len(counted) < _FEWEST_ROWS:
        raise RuntimeError(f"{point}: hardly learning after {2 * seconds:g} s; ask for more --seconds")
    first, last = counted[0], counted[-1]

    def per_second(counter: str) -> float:
        return float((last[counter] - first[counter]) / (last["seconds"] - first["seconds"]))

    return {
        "seconds": last["seconds"] - first["seconds"],
        "cores": os.cpu_count(),
        "learner_steps_per_second": per_second("learner_steps"),
        "env_steps_per_second": per_second("env_steps"),
        "transitions_per_second": per_second("transitions"),
        "chunks_per_second": per_second("chunks"),
        "learner_waiting_fraction": float(np.mean([row["learner_waiting_fraction"] for row in counted[1:]])),
        "cpu": watch.cores_used(first["seconds"], last["seconds"]),
    }


def run_point(
    point: Point, seconds: float, settle_seconds: float, run_dir: Path
) -> tuple[CpuWatch, list[dict[str, Any]]]:
    """One run, with its rows of metrics.parquet from `settle_seconds` after everybody is there to the end."""
    watch = CpuWatch()
    looks = ["--evaluation-interval-learner-steps", str(_NO_LOOKS)]
    summary = launch_and_watch([*run_options(point.actors, seconds), *point.options(), *looks], run_dir, watch)
    if summary["error"]:
        raise RuntimeError(f"the run in {run_dir} failed: {summary['error']}")
    progress = [row for row in pq.read_table(run_dir / METRICS).to_pylist() if row["kind"] == "progress"]
    learning_since = next(
        (row["seconds"] for row in progress if row["learner_steps"] > 0 and row["actors_alive"] == point.actors),
        seconds,
    )
    return watch, [row for row in progress if learning_since + settle_seconds <= row["seconds"] <= seconds]


class CpuWatch:
    """Reads the CPU time of every process once a second."""

    def __init__(self) -> None:
        self._ticks: list[tuple[float, dict[tuple[str, int], float]]] = []  # second; part and process: CPU seconds

    def __call__(self, seconds: float, processes: Processes) -> None:
        """Called once a second by `launch_and_watch`."""
        used = {}
        for role, process in processes:
            with suppress(psutil.NoSuchProcess):  # it ended meanwhile
                times = process.cpu_times()
                used[_PART_OF_ROLE.get(role, "others"), process.pid] = times.user + times.system
        self._ticks.append((seconds, used))

    def cores_used(self, begin: float, end: float) -> dict[str, float]:
        """CPU seconds a second of each part between two seconds of the run."""
        within = [tick for tick in self._ticks if begin <= tick[0] <= end]
        (first_seconds, first), (last_seconds, last) = within[0], within[-1]
        cores = dict.fromkeys(PARTS, 0.0)
        for (part, pid), used in last.items():
            cores[part] += (used - first.get((part, pid), 0.0)) / (last_seconds - first_seconds)
        return cores


def by_point(rows: list[dict[str, Any]]) -> dict[Point, list[dict[str, Any]]]:
    """The repetitions of every point."""
    grouped: dict[Point, list[dict[str, Any]]] = {}
    for row in rows:
        grouped.setdefault(Point(**{name: row[name] for name in Point._fields}), []).append(row)
    return grouped


def on_curve(rows: list[dict[str, Any]], curve: str) -> dict[Point, list[dict[str, Any]]]:
    """The points of one curve from left to right, with their repetitions."""
    points = by_point([row for row in rows if curve in row["curves"]])
    return {point: points[point] for point in sorted(points, key=lambda point: float(getattr(point, curve)))}


def report(rows: list[dict[str, Any]]) -> None:
    """One table a curve: medians, of the learner's rate the range too."""
    for curve, label in {**CURVES, **FOR_THE_MODEL}.items():
        points = on_curve(rows, curve)
        if not points:
            continue
        table = Table(title=label, box=SIMPLE, title_justify="left", padding=(0, 1, 0, 0))
        for column in ("", "learner steps/s", "env\nsteps/s", "waits", "learner", "replay", "actors", "others"):
            table.add_column(column, justify="right", no_wrap=True)
        for point, repetitions in points.items():
            table.add_row(
                f"{getattr(point, curve):g}",
                spread([row["learner_steps_per_second"] for row in repetitions]),
                f"{np.median([row['env_steps_per_second'] for row in repetitions]):,.0f}",
                f"{100 * np.median([row['learner_waiting_fraction'] for row in repetitions]):.0f} %",
                *(f"{np.median([row['cpu'][part] for row in repetitions]):.2f}" for part in PARTS),
            )
        Console().print(table)
    print("waits: share of the learner's time; learner, replay, actors, others: CPU seconds a second")


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """A panel for each curve: both rates, with the range of the repetitions, and the share of waiting."""
    figure = new_figure(11, 8)
    handles: list[Any] = []
    for axes, (curve, label) in zip(figure.subplots(2, 2).flat, CURVES.items(), strict=True):
        points = on_curve(rows, curve)
        if points:
            handles = _draw_panel(axes, curve, label, points)
        else:
            axes.set_axis_off()
    figure.legend(handles=handles, loc="outside upper center", ncols=3)
    print(f"picture: {save(figure, path)}")


def _draw_panel(axes: Any, curve: str, label: str, points: dict[Point, list[dict[str, Any]]]) -> list[Any]:
    """Returns what the legend shows."""
    x = [getattr(point, curve) for point in points]
    rates = {"env_steps_per_second": "environment steps", "learner_steps_per_second": "learner steps"}
    for rate, name in rates.items():
        values = [[row[rate] for row in repetitions] for repetitions in points.values()]
        middle = np.array([np.median(value) for value in values])
        low, high = np.array([min(value) for value in values]), np.array([max(value) for value in values])
        axes.errorbar(x, middle, yerr=[middle - low, high - middle], marker="o", capsize=3, label=name)
    axes.set(xlabel=label, ylabel="per second")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(x, [f"{value:g}" for value in x])
    axes.grid(alpha=0.3)
    waits = axes.twinx()
    waiting = [[row["learner_waiting_fraction"] for row in repetitions] for repetitions in points.values()]
    waits.plot(x, [np.median(value) for value in waiting], color="grey", linestyle=":", label="learner waits (right)")
    waits.set(ylabel="share of the learner's time", ylim=(0, 1))
    return [*axes.get_legend_handles_labels()[0], *waits.get_legend_handles_labels()[0]]
