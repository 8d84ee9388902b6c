"""The state of running or finished runs, from their files alone."""

from __future__ import annotations

from pathlib import Path

from analysis.saved_run import read_config, read_summary, read_table
from common.run_files import METRICS


def show_status(runs: list[Path]) -> None:
    """`launch.py status`: two lines for each run. Raises BadInput on a missing or damaged run."""
    for run in runs:
        print("\n".join(_describe(run)))


def _describe(run: Path) -> list[str]:
    env = str(read_config(run, "status")["settings"]["env"])
    summary = read_summary(run)
    state = "not finished"
    if summary:
        state = f"solved in {summary['seconds_to_solve']:.1f} s" if summary["solved"] else str(summary["stopped_by"])
    rows = read_table(run, METRICS, "status").to_pylist() if (run / METRICS).exists() else []
    progress = next((row for row in reversed(rows) if row["kind"] == "progress"), None)
    look = next((row for row in reversed(rows) if row["kind"] != "progress"), None)
    parts = []
    if progress is not None:
        parts += [
            f"{progress['seconds']:.1f} s",
            f"{progress['env_steps']:,} environment steps",
            f"{progress['learner_steps']:,} learner steps",
        ]
        if progress["recent_return"] is not None:
            parts.append(f"recent return {progress['recent_return']:.1f}")
    if look is not None:
        parts.append(f"evaluation {look['evaluation_return']:.1f}")
    return [f"{run}: {env}, {state}", f"  {', '.join(parts) or 'nothing measured yet'}"]
