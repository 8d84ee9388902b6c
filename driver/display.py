"""What a person sees of a run: a live table on a terminal, plain lines now and then elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.panel import Panel
from rich.table import Table

from common.config import Config
from common.types import Look
from driver.progress import Progress

_FIRST_PLAIN_SECONDS = 2.0
_MOST_PLAIN_SECONDS = 60.0


class Display:
    """Shows the newest Progress; `say` prints a line that stays."""

    def __init__(self, config: Config, solved_return: float | None, console: Console | None = None) -> None:
        self._config = config
        self._solved_return = solved_return
        self.console = console or Console(highlight=False, soft_wrap=True)
        self._live: Live | None = None
        self._interval = _FIRST_PLAIN_SECONDS
        self._last_plain = time.monotonic()

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._live = Live(console=self.console, refresh_per_second=4, transient=True, redirect_stdout=False)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()
            self._live = None

    def say(self, line: str, style: str | None = None) -> None:
        """One line that stays."""
        self.console.print(line, style=style, markup=False)

    def starting(self, what: str) -> None:
        """Before there is any progress; only a terminal shows it."""
        if self._live:
            self._live.update(Panel(what, title="starting", border_style="dim"))

    def show(self, progress: Progress) -> None:
        """At every moment; without a terminal a line after 2, 4, 8 ... at most 60 seconds."""
        if self._live:
            self._live.update(self._table(progress))
        elif time.monotonic() - self._last_plain >= self._interval:
            self._last_plain = time.monotonic()
            self._interval = min(_MOST_PLAIN_SECONDS, 2 * self._interval)
            self.say(plain_line(progress))

    def look(self, look: Look) -> None:
        """Only what concerns the goal gets a line: a confirmation."""
        if look.confirmation:
            verdict = "solved" if look.solved else "not confirmed"
            self.say(
                f"learner step {look.version:,}: candidate, mean of {len(look.returns)} further episodes "
                f"{look.mean:.1f} [{look.interval_low:.1f}, {look.interval_high:.1f}]: {verdict}"
            )

    def _table(self, progress: Progress) -> Panel:
        table = Table.grid(padding=(0, 2))
        for _ in range(3):
            table.add_column(style="cyan")
            table.add_column(justify="right", min_width=9)
        p, replay = progress, self._config.replay
        goal = f" / {self._solved_return:g}" if self._solved_return is not None else ""
        table.add_row(
            "environment steps", f"{p.env_steps:,}",
            "learner steps", f"{p.learner_steps:,}",
            "episodes", f"{p.episodes:,}",
        )  # fmt: skip
        table.add_row(
            "  per second", f"{p.env_steps_per_second:,.0f}",
            "  per second", f"{p.learner_steps_per_second:,.0f}",
            "time", f"{p.seconds:.0f} s",
        )  # fmt: skip
        table.add_row(
            "recent return", _number(p.recent_return, "no episode yet"),
            "evaluation", _number(p.evaluation_return, "none yet") + goal,
            "epsilon", f"{p.epsilon:.3f}",
        )  # fmt: skip
        table.add_row(
            "samples/insert", f"{_number(p.samples_per_insert, '-')} / {replay.samples_per_insert:g}",
            "policy lag", _number(p.policy_lag_recent, "-") + " steps",
            "replay", f"{100 * p.replay_fill:.0f} %",
        )  # fmt: skip
        title = f"{self._config.run.env}, {p.actors_alive} of {self._config.actor.actors} actors"
        waiting = f"waiting: {p.waiting_for}" if p.waiting_for else None
        return Panel(table, title=title, subtitle=waiting, border_style="green", expand=False)


def plain_line(progress: Progress) -> str:
    """The moment in one line."""
    p = progress
    parts = [
        f"{p.seconds:6.1f} s",
        f"{p.env_steps:,} env steps ({p.env_steps_per_second:,.0f}/s)",
        f"{p.learner_steps:,} learner steps ({p.learner_steps_per_second:,.0f}/s)",
        f"samples/insert {_number(p.samples_per_insert, '-')}",
        f"return {_number(p.recent_return, 'no episode yet')}",
        f"evaluation {_number(p.evaluation_return, 'none yet')}",
        f"epsilon {p.epsilon:.3f}",
        f"lag {_number(p.policy_lag_recent, '-')}",
        f"replay {100 * p.replay_fill:.0f} %",
    ]
    if p.waiting_for:
        parts.append(f"waiting: {p.waiting_for}")
    return " | ".join(parts)


def _number(value: float | None, missing: str) -> str:
    return missing if value is None else f"{value:.1f}"
