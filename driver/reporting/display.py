"""What a person sees of a run: a live table on a terminal, plain lines now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.panel import Panel

from analysis.moment import Goals, line, moment, table
from common.config import Config
from common.return_text import interval_text
from common.types import Look
from driver.reporting.progress import Progress

_FIRST_PLAIN_SECONDS = 2.0
_MOST_PLAIN_SECONDS = 60.0
_MOST_HEARD = 10  # lines of the environment's code


def interval(look: Look) -> str:
    """The mean and its interval, with the confidence where it is not the usual 95 %."""
    text = interval_text(look.mean, look.interval_low, look.interval_high)
    return text if look.kind != "confirmation" else f"{text} at {100 * look.confidence:.6g} %"


class Display:
    """Shows the newest Progress; `say` prints a line that stays."""

    def __init__(self, config: Config, solved_return: float | None, console: Console | None = None) -> None:
        self._goals = Goals(config.run.env, config.actor.actors, config.replay.samples_per_insert, solved_return)
        self.console = console or Console(highlight=False, soft_wrap=True)
        self._live: Live | None = None
        self._interval = _FIRST_PLAIN_SECONDS
        self._last_plain = time.monotonic()
        self._heard: set[str] = set()
        self._noted: set[str] = set()

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

    def hear(self, role: str, lines: Sequence[str]) -> None:
        """What the environment's code printed and warned of, in this role or before: each line once."""
        for text in lines:
            if text in self._heard or len(self._heard) > _MOST_HEARD:
                continue
            self._heard.add(text)
            if len(self._heard) > _MOST_HEARD:
                self.say("the environment says more; all of it is in the logs of Ray's workers", style="yellow")
            else:
                where = f" in {role}" if role else ""
                self.say(f"the environment{where} says: {text}", style="yellow")

    def note(self, lines: Sequence[str]) -> None:
        """What the user should know of how the run is done: each line once."""
        for text in lines:
            if text not in self._noted:
                self._noted.add(text)
                self.say(text, style="yellow")

    def starting(self, what: str) -> None:
        """Before there is any progress; only a terminal shows it."""
        if self._live:
            self._live.update(Panel(what, title="starting", border_style="dim"))

    def show(self, progress: Progress) -> None:
        """At every moment; without a terminal a line after 2, 4, 8 ... at most 60 seconds."""
        if self._live:
            self._live.update(table(moment(progress._asdict()), self._goals))
        elif time.monotonic() - self._last_plain >= self._interval:
            self._last_plain = time.monotonic()
            self._interval = min(_MOST_PLAIN_SECONDS, 2 * self._interval)
            self.say(line(moment(progress._asdict())))

    def look(self, look: Look, past_solve: bool) -> None:
        """Only what concerns the goal gets a line: a confirmation."""
        if look.kind == "confirmation":
            verdict = ("confirmed too" if past_solve else "solved") if look.solved else "not confirmed"
            self.say(
                f"learner step {look.version:,}: candidate, mean of {len(look.returns):,} further episodes "
                f"{interval(look)}: {verdict}"
            )

    def unended(self, look: Look) -> None:
        """Why its return says little, and what may be wrong."""
        self.say(
            f"evaluation at learner step {look.version:,}: {look.unended} of {len(look.returns)} episodes did not end "
            f"within {look.longest_env_steps:,} steps; they count with what they reached",
            style="yellow",
        )
