"""How long from a cold start to a confirmed solve, beside other people's DQN?

Every side is a process of its own and its time is stamped here, by one clock: from just before the process is made
until the line that says "solved" is read. Peers count as solved at a lower bar (`peer_looks.py`) and without the time
of their looks; ours includes its looks. When ours was over that lower bar is told beside it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Literal, NamedTuple

import numpy as np
import psutil
import pyarrow.parquet as pq
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from benchmarks.launching import ROOT, new_folder, spread
from benchmarks.peer_looks import SOLVED_RETURNS
from common.config import BadInput
from common.run_files import METRICS

OURS = "ours"
OURS_WITH_DASHBOARD = "ours, dashboard"
_IMPORTS = {  # what takes a side's start; ours first
    OURS: "ray, torch, gymnasium, pyarrow.parquet, scipy.stats, tyro",
    "tutorial": "torch, gymnasium",
    "stable-baselines3": "stable_baselines3",
    "rllib": "ray.rllib.algorithms.dqn",
}
_PEERS = {"CartPole-v1": ("tutorial", "stable-baselines3", "rllib"), "LunarLander-v3": ("stable-baselines3",)}
_GRACE_SECONDS = 5.0  # for a look that is under way at the limit: its time does not count
_EXIT_SECONDS = 30.0  # a process that was solved and is still there then is killed


@dataclass(frozen=True)
class Cold:
    """Starts ours and the peers one after the other, seed by seed, and stamps from outside when each has solved it."""

    seeds: int = 8
    """Number of seeds."""
    first_seed: int = 0
    """The first of them; the others follow."""
    env: Literal["CartPole-v1", "LunarLander-v3"] = "CartPole-v1"
    """Environment."""
    peers: tuple[Literal["tutorial", "stable-baselines3", "rllib"], ...] = ()
    """Whom to compare with [all that have settings for the environment]."""
    limit_seconds: float = 200.0
    """A run that has not solved by then ends and counts as this many seconds; looks of peers not counted."""
    dashboard: bool = True
    """Measure ours with the dashboard too."""
    runs: Path | None = None
    """Folder for the runs and logs [a temporary one]."""


class Said(NamedTuple):
    """A line of a process, or its end."""

    at: float  # seconds of the monotonic clock
    line: str | None  # None at the end


class Watched(NamedTuple):
    """What became of a process."""

    solved_at: float | None  # seconds of the monotonic clock
    ended_at: float | None  # None where it has to be killed
    look_seconds: float
    lines: list[str]


def measure_cold(settings: Cold) -> list[dict[str, Any]]:
    """One row for each side, with the run of every seed in it. Raises BadInput where a peer is not installed."""
    peers = chosen_peers(settings)
    for side in (OURS, *peers):
        import_once(side)
    folder = new_folder(settings.runs)
    dashboard = [OURS_WITH_DASHBOARD] if settings.dashboard else []
    runs: dict[str, list[dict[str, Any]]] = {side: [] for side in (OURS, *dashboard, *peers)}
    for seed in range(settings.first_seed, settings.first_seed + settings.seeds):
        for side, so_far in runs.items():
            so_far.append(run_once(side, settings.env, seed, settings.limit_seconds, folder))
            print(f"seed {seed}, {side}: {seconds_of(so_far[-1])} s", flush=True)
    rows = [summarize(side, of_side, runs[OURS]) for side, of_side in runs.items()]
    report(rows)
    return rows


def chosen_peers(settings: Cold) -> tuple[str, ...]:
    """Raises BadInput where one has no settings for the environment."""
    known = _PEERS[settings.env]
    for peer in settings.peers:
        if peer not in known:
            raise BadInput(f"--peers {peer}: has no settings for {settings.env}; these have: {', '.join(known)}")
    return settings.peers or known


def import_once(side: str) -> None:
    """Brings a side's packages into the page cache: no side pays for being the first. Raises BadInput."""
    done = subprocess.run(
        [sys.executable, "-c", f"import {_IMPORTS[side]}"], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        reason = done.stderr.strip().rpartition("\n")[2]
        raise BadInput(f'{side}: {reason}; pip install -e ".[bench]" brings the peers, --peers chooses others')


def run_once(side: str, env_id: str, seed: int, limit_seconds: float, folder: Path) -> dict[str, Any]:
    """Starts one side, watches it to its end, and leaves no process of it. Raises RuntimeError when it failed."""
    name = f"{side.replace(', ', '-')}-seed-{seed}"
    command = command_line(side, env_id, seed, limit_seconds, folder / name)
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    environment.pop("RAY_ADDRESS", None)  # everybody starts a Ray of their own
    with (folder / f"{name}.log").open("w") as log:
        began = time.monotonic()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            cwd=ROOT,
            env=environment,
            start_new_session=True,  # everything it starts is found by its session
        )
        try:
            watched = watch(process, began + limit_seconds)
        finally:
            end_session(process)
    if watched.ended_at is not None and process.returncode != 0:
        said = "\n".join(watched.lines[-20:])
        errors = Path(log.name).read_text()[-2000:]
        raise RuntimeError(f"{' '.join(command)} exited with {process.returncode}:\n{said}\n{errors}")
    figures = timed(watched, began, limit_seconds)
    at_peers_bar = (
        lower_bar_seconds(folder / name, env_id) if side in (OURS, OURS_WITH_DASHBOARD) else figures["seconds"]
    )
    if at_peers_bar is None or at_peers_bar > limit_seconds:
        at_peers_bar = limit_seconds
    return {"seed": seed, **figures, "at_peers_bar_seconds": at_peers_bar}


def lower_bar_seconds(run: Path, env_id: str) -> float | None:
    """When ours first had a look and a confirmation whose means are both at or above what solves it; None: never."""
    if not (run / METRICS).exists():
        return None
    bar = SOLVED_RETURNS[env_id]
    rows = pq.read_table(run / METRICS).to_pylist()
    over = [row["seconds"] for row in rows if row["kind"] == "confirmation" and row["evaluation_return"] >= bar]
    return min(over, default=None)


def command_line(side: str, env_id: str, seed: int, limit_seconds: float, run_dir: Path) -> list[str]:
    """As a user types it."""
    if side in (OURS, OURS_WITH_DASHBOARD):
        dashboard = "--dashboard" if side == OURS_WITH_DASHBOARD else "--no-dashboard"
        options = [
            "--actors",
            "8",
            dashboard,
            "--env",
            env_id,
            "--seed",
            str(seed),
            "--run-dir",
            str(run_dir.resolve()),
        ]
        return [sys.executable, "launch.py", *options]
    module = f"benchmarks.peer_{side.replace('-', '_')}"
    of_env = ["--env", env_id, "--seed", str(seed)]
    return [sys.executable, "-m", module, *of_env, "--limit-seconds", str(limit_seconds)]


def watch(process: subprocess.Popen[str], limit_at: float) -> Watched:
    """Reads its lines until it ends, or until its time is over: the limit, its looks not counted, and a grace."""
    said: SimpleQueue[Said] = SimpleQueue()
    threading.Thread(target=stamp, args=(process, said), daemon=True).start()
    solved_at: float | None = None
    ended_at: float | None = None
    look_seconds = 0.0
    lines: list[str] = []
    while ended_at is None:
        deadline = limit_at + look_seconds + _GRACE_SECONDS if solved_at is None else solved_at + _EXIT_SECONDS
        try:
            at, line = said.get(timeout=max(0.0, deadline - time.monotonic()))
        except Empty:
            break
        if line is None:
            ended_at = at
            continue
        lines.append(line)
        if line.startswith('{"solved"'):  # a peer's look
            look = json.loads(line)
            look_seconds = look["look_seconds"]
            solved_at = at if look["solved"] else None
        elif line.endswith(": solved") and solved_at is None:  # our driver's confirmation
            solved_at = at
    return Watched(solved_at, ended_at, look_seconds, lines)


def stamp(process: subprocess.Popen[str], said: SimpleQueue[Said]) -> None:
    """In a thread of its own, so that a line is stamped when it comes."""
    assert process.stdout is not None
    with process.stdout as lines:
        for line in lines:
            said.put(Said(time.monotonic(), line.rstrip("\n")))
    process.wait()
    said.put(Said(time.monotonic(), None))


def end_session(process: subprocess.Popen[str]) -> None:
    """Kills what is left of a run, orphans too, so that the next one has the machine to itself."""
    left = [other for other in psutil.process_iter(["status"]) if is_alive_in(other, session=process.pid)]
    for other in left:
        with suppress(psutil.NoSuchProcess):
            other.kill()
    process.wait()
    psutil.wait_procs([other for other in left if other.pid != process.pid], timeout=_GRACE_SECONDS)


def is_alive_in(process: psutil.Process, session: int) -> bool:
    """Whether it belongs to the session that the process of this id leads or led."""
    try:
        return os.getsid(process.pid) == session and process.info["status"] != psutil.STATUS_ZOMBIE
    except ProcessLookupError:
        return False


def timed(watched: Watched, began: float, limit_seconds: float) -> dict[str, Any]:
    """`seconds` counts; one that has not solved within the limit counts as the limit."""
    solved_at, ended_at = watched.solved_at, watched.ended_at
    needed = None if solved_at is None else solved_at - began - watched.look_seconds
    solved = needed is not None and needed <= limit_seconds
    return {
        "solved": solved,
        "seconds": needed if solved else limit_seconds,
        "look_seconds": watched.look_seconds,
        "exit_seconds": None if solved_at is None or ended_at is None else ended_at - solved_at,
    }


def summarize(side: str, runs: list[dict[str, Any]], ours: list[dict[str, Any]]) -> dict[str, Any]:
    """A side's row; the ratio is ours / this side, of the medians."""
    seconds = [run["seconds"] for run in runs]
    median = float(np.median(seconds))
    return {
        "side": side,
        "solved": sum(run["solved"] for run in runs),
        "seconds_median": median,
        "seconds_lowest": min(seconds),
        "seconds_highest": max(seconds),
        "at_peers_bar_median": float(np.median([run["at_peers_bar_seconds"] for run in runs])),
        "ours_by_this": float(np.median([run["seconds"] for run in ours])) / median,
        "runs": runs,
    }


def seconds_of(run: dict[str, Any]) -> str:
    """As shown: one that has not solved is above the limit."""
    return f"{run['seconds']:.1f}" if run["solved"] else f"> {run['seconds']:g}"


def report(rows: list[dict[str, Any]]) -> None:
    """Every side, what the bars are about, and every seed."""
    title = "seconds from process start to a confirmed solve, median \\[lowest, highest]"
    table = Table(title=title, box=SIMPLE, pad_edge=False)
    for column in ("", "solved", "seconds", "ours/this", "solved to exit"):
        table.add_column(column, justify="left" if column == "" else "right", no_wrap=True)
    for row in rows:
        table.add_row(
            row["side"],
            f"{row['solved']} of {len(row['runs'])}",
            spread([run["seconds"] for run in row["runs"]], ".1f"),
            f"{row['ours_by_this']:.2f}",
            spread([run["exit_seconds"] for run in row["runs"]], ".1f"),
        )
    Console().print(table)
    by_side = {row["side"]: row for row in rows}
    ours = by_side[OURS]
    if "tutorial" in by_side:
        ratio = ours["seconds_highest"] / by_side["tutorial"]["seconds_median"]
        print(f"our worst seed / the tutorial's median: {ratio:.2f}")
    if OURS_WITH_DASHBOARD in by_side:
        more = by_side[OURS_WITH_DASHBOARD]["seconds_median"] - ours["seconds_median"]
        print(f"ours with the dashboard - without, of the medians: {more:+.1f} s")
    for peer in [side for side in by_side if side not in (OURS, OURS_WITH_DASHBOARD)]:
        ratio = ours["at_peers_bar_median"] / by_side[peer]["at_peers_bar_median"]
        seconds = spread([run["at_peers_bar_seconds"] for run in ours["runs"]], ".1f")
        print(f"ours at the peers' bar: {seconds} s; ours / {peer}, of the medians: {ratio:.2f}")
    report_seeds(rows)


def report_seeds(rows: list[dict[str, Any]]) -> None:
    """Seconds of each seed, side by side."""
    table = Table(title="seconds of each seed; > was not solved and counts as the limit", box=SIMPLE, pad_edge=False)
    for column in ("seed", *(row["side"] for row in rows)):
        table.add_column(column, justify="right")
    for runs in zip(*(row["runs"] for row in rows), strict=True):
        table.add_row(str(runs[0]["seed"]), *(seconds_of(run) for run in runs))
    Console().print(table)
