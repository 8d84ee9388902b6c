"""When each role came up, and where its time went, as tables."""

from __future__ import annotations

from collections.abc import Mapping

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from common.time_use import ACTIVITIES, column


def print_start(ready_seconds: Mapping[str, float], first_learner_step: float | None, console: Console) -> None:
    """What came up when, in seconds since the process started."""
    moments = dict(ready_seconds)
    if first_learner_step is not None:
        moments["first learner step"] = first_learner_step
    table = Table(title="the start", box=SIMPLE, padding=(0, 1))
    table.add_column("ready")
    table.add_column("seconds", justify="right")
    for name, seconds in sorted(moments.items(), key=lambda moment: moment[1]):
        table.add_row(name, f"{seconds:.2f}")
    console.print(table)


def print_time_use(time_use: Mapping[str, float], console: Console) -> None:
    """One line for each activity: seconds, and the share of the role's time. Actors are added up."""
    table = Table(title="where the time went", box=SIMPLE, padding=(0, 1))
    table.add_column("role")
    table.add_column("activity")
    table.add_column("seconds", justify="right")
    table.add_column("share", justify="right")
    for role, activities in ACTIVITIES.items():
        total = sum(time_use[column(role, activity)] for activity in activities)
        for activity in activities:
            seconds = time_use[column(role, activity)]
            share = f"{100 * seconds / total:.1f} %" if total > 0 else "-"
            table.add_row(
                role if activity == activities[0] else "", activity.replace("_", " "), f"{seconds:.2f}", share
            )
        table.add_section()
    console.print(table)
