"""The state of running or finished runs, from their files alone."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from analysis.saved_run import read_config, read_summary, read_table
from common.run_files import METRICS


def show_status(runs: list[Path]) -> None:
    """`launch.py status`. Raises BadInput on a missing or damaged run."""
    table = Table(title="runs")
    for column in ("run", "env", "state", "seconds", "env steps", "learner steps", "recent return", "evaluation"):
        table.add_column(column, justify="left" if column in ("run", "env", "state") else "right", overflow="fold")
    for run in runs:
        table.add_row(*_row(run))
    Console().print(table)


def _row(run: Path) -> list[str]:
    env = str(read_config(run, "status")["settings"]["env"])
    summary = read_summary(run)
    state = "not finished"
    if summary:
        state = "solved" if summary["solved"] else str(summary["stopped_by"])
    rows = read_table(run, METRICS, "status").to_pylist() if (run / METRICS).exists() else []
    progress = next((row for row in reversed(rows) if row["kind"] == "progress"), None)
    look = next((row for row in reversed(rows) if row["kind"] != "progress"), None)
    if progress is None:
        return [str(run), env, state, "-", "-", "-", "-", "-"]
    return [
        str(run),
        env,
        state,
        f"{progress['seconds']:.1f}",
        f"{progress['env_steps']:,}",
        f"{progress['learner_steps']:,}",
        "-" if progress["recent_return"] is None else f"{progress['recent_return']:.1f}",
        "-" if look is None else f"{look['evaluation_return']:.1f}",
    ]
