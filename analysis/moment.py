"""One moment of a run as a table and as a line: for the live display, and for `launch.py status`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from common.return_text import return_text


class Moment(NamedTuple):
    """What is shown; a column of metrics.parquet each. None: nothing to measure yet."""

    seconds: float  # since the process started
    env_steps: int
    learner_steps: int
    episodes: int
    env_steps_per_second: float
    learner_steps_per_second: float
    samples_per_insert: float | None
    recent_return: float | None  # mean of the last 100 episodes
    evaluation_return: float | None  # mean of the last look
    epsilon: float  # mean over all environments
    policy_lag_recent: float | None  # of the last 100 chunks
    replay_fill: float  # share of the capacity
    actors_alive: int
    waiting_for: str


class Goals(NamedTuple):
    """What a run's settings say about the figures beside them."""

    env: str
    actors: int
    samples_per_insert: float
    solved_return: float | None


def moment(values: Mapping[str, Any]) -> Moment:
    """Out of whatever has these and more. Raises KeyError."""
    return Moment(**{name: values[name] for name in Moment._fields})


def table(m: Moment, goals: Goals) -> Panel:
    """For a terminal."""
    grid = Table.grid(padding=(0, 2))
    for _ in range(3):
        grid.add_column(style="cyan")
        grid.add_column(justify="right", min_width=9)
    goal = f" / {goals.solved_return:g}" if goals.solved_return is not None else ""
    grid.add_row(
        "environment steps", f"{m.env_steps:,}",
        "learner steps", f"{m.learner_steps:,}",
        "episodes", f"{m.episodes:,}",
    )  # fmt: skip
    grid.add_row(
        "  per second", f"{m.env_steps_per_second:,.0f}",
        "  per second", f"{m.learner_steps_per_second:,.0f}",
        "time", f"{m.seconds:.0f} s",
    )  # fmt: skip
    grid.add_row(
        "recent return", _return(m.recent_return, "no episode yet"),
        "evaluation", _return(m.evaluation_return, "none yet") + goal,
        "epsilon", f"{m.epsilon:.3f}",
    )  # fmt: skip
    grid.add_row(
        "samples/insert", f"{_number(m.samples_per_insert, '-')} / {goals.samples_per_insert:g}",
        "policy lag", _number(m.policy_lag_recent, "-") + " steps",
        "replay", f"{100 * m.replay_fill:.0f} %",
    )  # fmt: skip
    title = Text(f"{goals.env}, {m.actors_alive} of {goals.actors} actors")  # an environment's name is no markup
    waiting = Text(f"waiting: {m.waiting_for}") if m.waiting_for else None
    return Panel(grid, title=title, subtitle=waiting, border_style="green", expand=False)


def line(m: Moment) -> str:
    """For everything else."""
    parts = [
        f"{m.seconds:6.1f} s",
        f"{m.env_steps:,} env steps ({m.env_steps_per_second:,.0f}/s)",
        f"{m.learner_steps:,} learner steps ({m.learner_steps_per_second:,.0f}/s)",
        f"samples/insert {_number(m.samples_per_insert, '-')}",
        f"return {_return(m.recent_return, 'no episode yet')}",
        f"evaluation {_return(m.evaluation_return, 'none yet')}",
        f"epsilon {m.epsilon:.3f}",
        f"lag {_number(m.policy_lag_recent, '-')}",
        f"replay {100 * m.replay_fill:.0f} %",
    ]
    if m.waiting_for:
        parts.append(f"waiting: {m.waiting_for}")
    return " | ".join(parts)


def _number(value: float | None, missing: str) -> str:
    return missing if value is None else f"{value:.1f}"


def _return(value: float | None, missing: str) -> str:
    return missing if value is None else return_text(value)
