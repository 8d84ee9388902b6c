"""Does it solve the environment, how fast, and does the saved network hold on other start states?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from tyro.conf import UseAppendAction

from benchmarks.launching import launch, new_folder, spread
from benchmarks.playing import play, read_network


@dataclass(frozen=True)
class Solve:
    """Runs launch.py once for each seed, then plays each saved network, read by torch alone."""

    seeds: int = 10
    """Number of seeds."""
    first_seed: int = 0
    """The first of them; the others follow."""
    env: str = "CartPole-v1"
    """Environment."""
    option: UseAppendAction[tuple[str, ...]] = ()
    """A further option of launch.py, such as --option=--epsilon-schedule=ladder; repeatable."""
    runs: Path | None = None
    """Folder for the runs [a temporary one]."""
    episodes: int = 100
    """Episodes of the check."""


def measure_solve(settings: Solve) -> list[dict[str, Any]]:
    """One row for each seed."""
    folder = new_folder(settings.runs)
    rows = []
    for seed in range(settings.first_seed, settings.first_seed + settings.seeds):
        run = folder / f"seed-{seed}"
        options = ["--env", settings.env, "--seed", str(seed), "--no-dashboard", *settings.option]
        summary = launch(options, run)
        network = read_network(run / "q_network.pth")
        returns = play(network, lambda: gymnasium.make(settings.env), settings.episodes).returns
        rows.append({**summary, "check_return": float(returns.mean()), "check_std": float(returns.std(ddof=1))})
        print_row(rows[-1])
    report(rows, settings.env)
    return rows


def print_row(row: dict[str, Any]) -> None:
    """Progress: one line a seed."""
    solved = (
        f"{row['seconds_to_solve']:.1f} s, {row['solved_learner_steps']:,} learner steps" if row["solved"] else "no"
    )
    print(f"seed {row['seed']}: solved {solved}; other start states {row['check_return']:.1f}", flush=True)


def report(rows: list[dict[str, Any]], env_id: str) -> None:
    """Every seed, and the medians."""
    table = Table(title=f"{env_id}, one row a seed", box=SIMPLE)
    for column in ("seed", "solved", "seconds", "learner steps", "env steps", "confirmed at", "other starts", "std"):
        table.add_column(column, justify="right")
    for row in rows:
        solved = row["solved"]
        table.add_row(
            str(row["seed"]),
            "yes" if solved else "no",
            f"{row['seconds_to_solve']:.1f}" if solved else "-",
            f"{row['solved_learner_steps']:,}" if solved else "-",
            f"{row['solved_env_steps']:,}" if solved else "-",
            f"{row['confirmation_return']:.1f}" if solved else "-",
            f"{row['check_return']:.1f}",
            f"{row['check_std']:.1f}",
        )
    Console().print(table)
    print(f"solved: {sum(row['solved'] for row in rows)} of {len(rows)}")
    print(f"seconds to solve, median [lowest, highest]: {spread([row['seconds_to_solve'] for row in rows], '.1f')}")
    print(f"learner steps to solve: {spread([row['solved_learner_steps'] for row in rows])}")
    print(f"environment steps to solve: {spread([row['solved_env_steps'] for row in rows])}")
    print(f"mean return on other start states: {spread([row['check_return'] for row in rows], '.1f')}")
